"""Cuts the bytes sent to a client into the events that its cursor counts.

An event is a block ended by an empty line that has a line other than a comment. Comments and empty
lines belong to the event after them, so that the concatenated events are the stream, byte for byte.
"""

from __future__ import annotations

import re

from proxy.relay.sse import event_ends

# Clients of `GET /v1/streams/{id}?after=N` count the same way: see docs/resuming.md.
_COUNTS = re.compile(rb"(?:\A|[\r\n])(?!:)[^\r\n]")
_PROGRESS = re.compile(rb"(?:\A|[\r\n])event: ?progress(?:[\r\n]|\Z)")
_FIELDS = (b"data:", b"event:", b"id:")


def counts(block: bytes) -> bool:
    """Whether a block counts as an event: not only comments, and not a progress frame."""
    return _COUNTS.search(block) is not None and _PROGRESS.search(block) is None


class EventCutter:
    """Bytes in, whole events out, however the bytes are split."""

    __slots__ = ("_looked", "begun")

    def __init__(self) -> None:
        self.begun = bytearray()
        """The bytes after the last event; comments at its beginning are whole blocks."""
        self._looked = 0
        """The offset of the first unfinished block in it."""

    @property
    def rest(self) -> bytes:
        """The bytes after the last whole event."""
        return bytes(self.begun)

    def feed(self, data: bytes) -> list[bytes]:
        """Process the next bytes; return the events that they complete."""
        if (
            not self.begun
            and data[-2:] == b"\n\n"
            and data[-3:-2] != b"\n"
            and b"\r" not in data
            and b"progress" not in data
        ):
            # The common case: whole events, without comments or extra empty lines.
            blocks = data[:-2].split(b"\n\n")
            if all(block.startswith(_FIELDS) for block in blocks):
                return [block + b"\n\n" for block in blocks]
        begun = self.begun
        look_from = max(self._looked, len(begun) - 3)
        begun += data
        events: list[bytes] = []
        start = taken = 0
        block = self._looked
        for end in event_ends(begun, look_from):
            if counts(bytes(begun[block:end])):
                events.append(bytes(begun[start:end]))
                start = taken = end
            block = end
        del begun[:taken]
        self._looked = block - taken
        return events
