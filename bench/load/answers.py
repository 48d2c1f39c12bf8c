"""The client's side of one HTTP/1.1 exchange, just deep enough to know how it ended."""

from __future__ import annotations

import enum
import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_RECENT = 96
_LAST_CHUNK = b"0\r\n\r\n"
_END_MARK = b"[DONE]"


class Ending(enum.Enum):
    """Where a streamed or plain answer stands."""

    OPEN = "open"
    COMPLETE = "complete"
    CUT = "cut"
    REFUSED = "refused"


class AnswerReader:
    """Follows one answer: status, head, and whether the body came to its true end.

    Bodies are told apart by their length, or by the last chunk, which the paced upstream never
    puts inside one. A stream is complete only if its end mark stood before that.
    """

    __slots__ = ("_head", "_left", "_recent", "ending", "status", "stream")

    def __init__(self, *, stream: bool) -> None:
        self.stream = stream
        self.status = 0
        self.ending = Ending.OPEN
        self._head = b""
        self._left = -1
        self._recent = b""

    def feed(self, data: bytes) -> bytes:
        """Takes what was read; returns the part of it that belongs to the body."""
        if self.status == 0:
            data = self._read_head(data)
            if self.status == 0:
                return b""
        if self._left >= 0:
            self._left -= len(data)
            self._recent = (self._recent + data)[-_RECENT:]
            if self._left <= 0:
                self._end()
        elif data:
            self._recent = (self._recent + data)[-_RECENT:]
            if self._recent.endswith(_LAST_CHUNK):
                self._end()
        return data

    def close(self) -> None:
        """The connection ended."""
        if self.ending is Ending.OPEN:
            whole = self.status == 200 and self.stream and _END_MARK in self._recent
            self.ending = Ending.COMPLETE if whole else Ending.CUT

    def _end(self) -> None:
        if self.status != 200:
            self.ending = Ending.REFUSED
        elif self.stream and _END_MARK not in self._recent:
            self.ending = Ending.CUT
        else:
            self.ending = Ending.COMPLETE

    def _read_head(self, data: bytes) -> bytes:
        self._head += data
        end = self._head.find(b"\r\n\r\n")
        if end < 0:
            return b""
        head, rest = self._head[: end + 2], self._head[end + 4 :]
        self.status = int(head[9:12])
        length = _LENGTH.search(head)
        if length is not None:
            self._left = int(length.group(1))
        self._head = b""
        return rest
