"""Cuts what a client is sent into the events that its cursor counts.

An event is a block ended by an empty line with a line in it that is no comment. What counts for
nothing (comments, empty lines) is kept with the event that follows it, so that all events one after
the other are the stream, byte for byte.
"""

from __future__ import annotations

import re

from proxy.relay.sse import event_ends

# As the clients of `GET /v1/streams/{id}?after=N` count, too: see docs/resuming.md.
_COUNTS = re.compile(rb"(?:\A|[\r\n])(?!:)[^\r\n]")
_PROGRESS = re.compile(rb"(?:\A|[\r\n])event: ?progress(?:[\r\n]|\Z)")
_FIELDS = (b"data:", b"event:", b"id:")


def counts(block: bytes) -> bool:
    """Whether a block is an event: not only comments, and no progress frame of a gateway."""
    return _COUNTS.search(block) is not None and _PROGRESS.search(block) is None


class EventCutter:
    """Bytes in, whole events out, however the bytes are cut."""

    __slots__ = ("_looked", "begun")

    def __init__(self) -> None:
        self.begun = bytearray()
        """What has come since the last event; comments at its beginning are whole blocks."""
        self._looked = 0
        """Where the first block in it begins that has not ended."""

    @property
    def rest(self) -> bytes:
        """What came after the last whole event."""
        return bytes(self.begun)

    def feed(self, data: bytes) -> list[bytes]:
        """Take in the next bytes and give every event that they end."""
        if (
            not self.begun
            and data[-2:] == b"\n\n"
            and data[-3:-2] != b"\n"
            and b"\r" not in data
            and b"progress" not in data
        ):
            # Nearly all reads: whole events, and nothing that counts for nothing.
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
