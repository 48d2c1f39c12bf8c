"""Takes chunked coding apart without I/O: raw bytes in, body bytes out (RFC 9112, 7.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_LONGEST_LINE = 4096
"""A size line or a trailer longer than this, its end included, is an attack or garbage."""
_SIZES: dict[bytes, int] = {}
"""Size lines that have been read, by their text."""
_MOST_SIZES = 8192
_UNKNOWN = -2


class BadChunk(ValueError):
    """The bytes are no chunked coding."""


class Chunks:
    """One body in chunked coding, however its bytes are cut."""

    __slots__ = ("_begun", "_buffer", "_left", "_step", "broken")

    def __init__(self) -> None:
        self._step: _Step = Chunks._size
        """What takes in the next bytes: the state."""
        self._buffer = b""
        """The beginning of a line that is not whole yet."""
        self._left = 0
        """Bytes of the present chunk that have not come."""
        self._begun = False
        """Whether anything of the next chunk, or of the end, has come."""
        self.broken: BadChunk | None = None
        """Where the coding was violated; nothing is read after that."""

    @property
    def ended(self) -> bool:
        """Whether the last chunk and its trailers have passed."""
        return self._step is Chunks._done

    @property
    def rest(self) -> bytes:
        """What came after the end; empty on a connection that can be used again."""
        return self._buffer if self.ended else b""

    def single(self, data: bytes) -> bytes | None:
        """The body bytes, if the data is just one whole chunk; else None, and nothing happens.

        The common case by far. Sizes recur, so each is read once and then looked up.
        """
        size, _, rest = data.partition(b"\r\n")
        if self._begun or len(rest) != _SIZES.get(size, _UNKNOWN) + 2 or rest[-2:] != b"\r\n":
            return None
        return rest[:-2]

    def feed(self, data: bytes) -> bytes:
        """Take in the next raw bytes; give the body bytes among them, up to a fault if any."""
        if self.broken:
            return b""
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        out: list[bytes] = []
        try:
            self._buffer = data[self._walk(data, out) :]
        except BadChunk as fault:
            self.broken = fault
        self._begun = self._step is not Chunks._size or bool(self._buffer or self.broken)
        return out[0] if len(out) == 1 else b"".join(out)

    def _walk(self, data: bytes, out: list[bytes]) -> int:
        at = 0
        while at < len(data):
            end = self._step(self, data, at, out)
            if end == at:
                break
            at = end
        return at

    def _size(self, data: bytes, at: int, _out: list[bytes]) -> int:
        match = _SIZE.match(data, at)
        if match is None:
            return self._wait_for_line(data, at)
        if match.end() - at > _LONGEST_LINE:
            raise BadChunk("a line cannot be read")
        self._left = int(match[1], 16)
        if self._left and match.end() == match.end(1) + 2 and len(_SIZES) < _MOST_SIZES:
            _SIZES[match[1]] = self._left
        self._step = Chunks._data if self._left else Chunks._trailer
        return match.end()

    def _data(self, data: bytes, at: int, out: list[bytes]) -> int:
        piece = data[at : at + self._left]
        out.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = Chunks._data_end
        return at + len(piece)

    def _data_end(self, data: bytes, at: int, _out: list[bytes]) -> int:
        if data.startswith(b"\r\n", at):
            self._step = Chunks._size
            return at + 2
        if data[at:] == b"\r":
            return at
        raise BadChunk("a chunk is longer than its size")

    def _trailer(self, data: bytes, at: int, _out: list[bytes]) -> int:
        end = data.find(b"\r\n", at)
        if end < 0:
            return self._wait_for_line(data, at)
        if end + 2 - at > _LONGEST_LINE or data.find(b"\n", at, end) >= 0:
            raise BadChunk("a line cannot be read")
        if end == at:
            self._step = Chunks._done
        return end + 2

    def _done(self, _data: bytes, at: int, _out: list[bytes]) -> int:
        return at

    def _wait_for_line(self, data: bytes, at: int) -> int:
        if b"\n" in data[at:] or len(data) - at >= _LONGEST_LINE:
            raise BadChunk("a line cannot be read")
        return at


_Step = Callable[[Chunks, bytes, int, list[bytes]], int]
"""Takes in bytes from a place on; gives the place behind them, the same where more must come."""
