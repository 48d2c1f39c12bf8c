"""Frames server-sent events, without I/O: bytes in, events out, however the bytes are cut.

The rules are those of WHATWG HTML, 9.2.5 and 9.2.6: a line ends in CRLF, LF or CR, an empty line
ends an event, one leading byte order mark is skipped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HELD_BYTES = 1024 * 1024
"""The most of one unfinished event that is held; of a longer one only its head and tail are."""
HEAD_BYTES = 4 * 1024
TAIL_BYTES = 16 * 1024

_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13
"""As numbers: looking for one in bytes is ten times faster than looking for a byte string."""
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class ServerSentEvent(NamedTuple):
    """One stretch of the stream up to and with an empty line."""

    raw: bytes
    """All its bytes; of an oversized event only those since the last call."""
    name: bytes = b""
    data: bytes | None = None
    """Its `data:` lines joined by a line feed; None if it has none."""
    stray: bytes = b""
    """Text that is no field at all, such as a bare JSON document."""
    tail: bytes | None = None
    """How the event ended, if it was too long to hold; `data` then is how it began."""


class Framer:
    """Cuts one stream into events and keeps what is not yet whole, in bounded memory."""

    __slots__ = ("_at_start", "_head", "_tail", "begun", "partial")

    def __init__(self) -> None:
        self.partial = bytearray()
        """The event that has begun and not ended; of an oversized one, its latest bytes."""
        self._at_start = True
        self.begun = False
        """Whether anything of the next event has come."""
        self._head: bytes | None = None
        self._tail = b""

    @property
    def between_events(self) -> bool:
        """Whether whole lines of ours may stand here: nothing of an event has begun."""
        if self._head is not None:
            return False
        return not self.partial or (
            self.partial.endswith((b"\n", b"\r"))
            and all(map(_is_filler, self.partial.splitlines()))
        )

    @property
    def oversized(self) -> bool:
        """Whether the event that has begun is already too long to hold."""
        return self._head is not None

    def single(self, chunk: bytes) -> bytes | None:
        """The payload, if the chunk is just one whole event of one `data: ` line; else None.

        The common case by far, so it is told by slices and searches in C, and takes no other step.
        """
        payload = chunk[6:-2]
        if (
            self.begun
            or chunk[:6] != b"data: "
            or chunk[-2:] != b"\n\n"
            or _LF in payload
            or _CR in payload
        ):
            return None
        self._at_start = False
        return payload

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take in the next bytes and give every event that they end."""
        if self.partial:
            seen = len(self.partial)
            self.partial += chunk
            events, start = self._cut(self.partial, max(0, seen - 3))
            del self.partial[:start]
        else:
            events, start = self._cut(chunk, 0)
            self.partial += chunk[start:]
        if len(self.partial) > HELD_BYTES or self._head is not None:
            self._let_go()
        self.begun = bool(self.partial)
        return events

    def unfinished(self) -> ServerSentEvent | None:
        """What has begun and not ended, as if it ended here; None if nothing has."""
        text = bytes(self.partial)
        if self._head is not None:
            return _parse(text, self._head)._replace(tail=(self._tail + text)[-TAIL_BYTES:])
        return _parse(text, self._unmarked(text)) if text else None

    def _cut(self, text: bytes | bytearray, look_from: int) -> tuple[list[ServerSentEvent], int]:
        events: list[ServerSentEvent] = []
        start = 0
        for end in event_ends(text, look_from):
            events.append(self._event(bytes(text[start:end])))
            start = end
        return events, start

    def _event(self, raw: bytes) -> ServerSentEvent:
        if self._head is not None:
            head, tail = self._head, (self._tail + raw)[-TAIL_BYTES:]
            self._head, self._tail = None, b""
            begun = _parse(head, head)
            return begun._replace(raw=raw, tail=tail)
        text = self._unmarked(raw)
        self._at_start = False
        return _parse(raw, text)

    def _unmarked(self, text: bytes) -> bytes:
        return text.removeprefix(_BOM) if self._at_start else text

    def _let_go(self) -> None:
        """Keep of an oversized event its head, its tail, and what may be part of its end.

        The last three bytes stay in `partial`, so it is never empty before the event has ended.
        """
        if self._head is None:
            self._head = self._unmarked(bytes(self.partial[:HEAD_BYTES]))
            self._at_start = False
        self._tail = (self._tail + self.partial[:-3])[-TAIL_BYTES:]
        del self.partial[:-3]


def _is_filler(line: bytes | bytearray) -> bool:
    return not line or line.startswith(b":")


def event_ends(text: bytes | bytearray, start: int) -> list[int]:
    """Where events end. A CR at the very end may be half a CRLF, unless lone CRs end its lines."""
    if _CR not in text:
        return _ends_of_lf(text, start)
    ends = [match.end() for match in _EVENT_END.finditer(text, start)]
    if ends and ends[-1] == len(text) and text.endswith(b"\r") and not text.endswith(b"\r\r"):
        ends.pop()
    return ends


def _ends_of_lf(text: bytes | bytearray, start: int) -> list[int]:
    """The same where every line ends in LF: ten times as fast, and nearly all streams are so."""
    ends: list[int] = []
    end = text.find(b"\n\n", start)
    while end >= 0:
        ends.append(end + 2)
        end = text.find(b"\n\n", end + 2)
    return ends


def _parse(raw: bytes, text: bytes) -> ServerSentEvent:
    name = b""
    data: list[bytes] = []
    stray: list[bytes] = []
    for line in text.splitlines():
        field, _, value = line.partition(b":")
        if stray or line.startswith((b"{", b"[")):
            stray.append(line)
        elif field == b"data":
            data.append(value.removeprefix(b" "))
        elif field == b"event":
            name = value.removeprefix(b" ")
    return ServerSentEvent(raw, name, b"\n".join(data) if data else None, b"\n".join(stray))
