"""Frames server-sent events, without I/O: bytes in, events out, however the bytes are split.

By WHATWG HTML, 9.2.5 and 9.2.6: a line ends in CRLF, LF or CR, an empty line ends an event, one
leading byte order mark is skipped.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HELD_BYTES = 1024 * 1024
"""The most bytes buffered of an event; of a longer one only its head and tail are."""
HEAD_BYTES = 4 * 1024
TAIL_BYTES = 16 * 1024

_BOM = b"\xef\xbb\xbf"
_LF, _CR = 10, 13
"""As integers: `in` on bytes is ten times faster for them than for a byte string."""
_EVENT_END = re.compile(rb"(?>\r\n|\n|\r)(?>\r\n|\n|\r)")


class ServerSentEvent(NamedTuple):
    """A block of the stream, up to and including an empty line."""

    raw: bytes
    """Its bytes; of an oversized event only those since the last call."""
    name: bytes = b""
    data: bytes | None = None
    """Its `data:` lines joined by line feeds; None without any."""
    stray: bytes = b""
    """Text that is not a field, such as a bare JSON document."""
    tail: bytes | None = None
    """The end of an oversized event; `data` is then its beginning."""


class Framer:
    """Cuts one stream into events, and buffers the unfinished one in bounded memory."""

    __slots__ = ("_at_start", "_head", "_tail", "begun", "partial")

    def __init__(self) -> None:
        self.partial = bytearray()
        """The unfinished event; of an oversized one, its latest bytes."""
        self._at_start = True
        self.begun = False
        """Whether there is an unfinished event."""
        self._head: bytes | None = None
        self._tail = b""

    @property
    def between_events(self) -> bool:
        """Whether lines may be inserted here: no event has begun."""
        if self._head is not None:
            return False
        return not self.partial or (
            self.partial.endswith((b"\n", b"\r"))
            and all(map(_is_filler, self.partial.splitlines()))
        )

    @property
    def oversized(self) -> bool:
        """Whether the unfinished event is too long to buffer."""
        return self._head is not None

    def single(self, chunk: bytes) -> bytes | None:
        """Return the payload if the chunk is exactly one event with one `data: ` line; else None.

        This is by far the most common case, so it uses only slices and searches in C.
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
        """Process the next bytes; return the events that they complete."""
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
        """Return the unfinished event as if it ended here; None if there is none."""
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
        """Keep only the head and the tail of an oversized event.

        Its last three bytes stay in `partial`, as they may be part of the empty line that ends it,
        and so that `partial` is not empty before the event has ended.
        """
        if self._head is None:
            self._head = self._unmarked(bytes(self.partial[:HEAD_BYTES]))
            self._at_start = False
        self._tail = (self._tail + self.partial[:-3])[-TAIL_BYTES:]
        del self.partial[:-3]


def _is_filler(line: bytes | bytearray) -> bool:
    return not line or line.startswith(b":")


def event_ends(text: bytes | bytearray, start: int) -> list[int]:
    """Return the ends of events. A final CR may be half a CRLF, unless lone CRs end the lines."""
    if _CR not in text:
        return _ends_of_lf(text, start)
    ends = [match.end() for match in _EVENT_END.finditer(text, start)]
    if ends and ends[-1] == len(text) and text.endswith(b"\r") and not text.endswith(b"\r\r"):
        ends.pop()
    return ends


def _ends_of_lf(text: bytes | bytearray, start: int) -> list[int]:
    """Return the ends of events if every line ends in LF: common, and ten times as fast."""
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
