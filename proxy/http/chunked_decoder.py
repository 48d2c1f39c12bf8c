"""Decodes chunked coding without I/O: raw bytes in, body bytes out (RFC 9112, 7.1)."""

from __future__ import annotations

import re
from collections.abc import Callable

_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")
_MAX_LINE_BYTES = 4096
"""A longer size line or trailer, including its end, is rejected."""
_SIZES: dict[bytes, int] = {}
"""Parsed size lines, by their text."""
_MAX_SIZES = 8192
_UNKNOWN = -2


class BadChunk(ValueError):
    """The bytes are not valid chunked coding."""


class ChunkedDecoder:
    """One body in chunked coding, however its bytes are split."""

    __slots__ = ("_begun", "_buffer", "_left", "_step", "broken")

    def __init__(self) -> None:
        self._step: _Step = ChunkedDecoder._size
        """The state: the function that processes the next bytes."""
        self._buffer = b""
        """An incomplete line."""
        self._left = 0
        """Bytes of the current chunk that have not been received."""
        self._begun = False
        """Whether a part of the next chunk, or of the end, has been received."""
        self.broken: BadChunk | None = None
        """The violation of the coding, if any; nothing is decoded after it."""

    @property
    def ended(self) -> bool:
        """Whether the last chunk and its trailers have been received."""
        return self._step is ChunkedDecoder._done

    @property
    def rest(self) -> bytes:
        """Bytes after the end; empty on a connection that can be reused."""
        return self._buffer if self.ended else b""

    def single(self, data: bytes) -> bytes | None:
        """Return the body bytes if the data is exactly one whole chunk; else None, unchanged.

        This is by far the most common case. Sizes recur, so each is parsed once and then looked up.
        """
        size, _, rest = data.partition(b"\r\n")
        if self._begun or len(rest) != _SIZES.get(size, _UNKNOWN) + 2 or rest[-2:] != b"\r\n":
            return None
        return rest[:-2]

    def feed(self, data: bytes) -> bytes:
        """Process the next raw bytes; return the body bytes in them, up to a violation if any."""
        if self.broken:
            return b""
        data = self._buffer + data if self._buffer else data
        self._buffer = b""
        out: list[bytes] = []
        try:
            self._buffer = data[self._walk(data, out) :]
        except BadChunk as fault:
            self.broken = fault
        self._begun = self._step is not ChunkedDecoder._size or bool(self._buffer or self.broken)
        return out[0] if len(out) == 1 else b"".join(out)

    def _walk(self, data: bytes, out: list[bytes]) -> int:
        offset = 0
        while offset < len(data):
            end = self._step(self, data, offset, out)
            if end == offset:
                break
            offset = end
        return offset

    def _size(self, data: bytes, offset: int, _out: list[bytes]) -> int:
        match = _SIZE.match(data, offset)
        if match is None:
            return self._wait_for_line(data, offset)
        if match.end() - offset > _MAX_LINE_BYTES:
            raise BadChunk("a line cannot be read")
        self._left = int(match[1], 16)
        if self._left and match.end() == match.end(1) + 2 and len(_SIZES) < _MAX_SIZES:
            _SIZES[match[1]] = self._left
        self._step = ChunkedDecoder._data if self._left else ChunkedDecoder._trailer
        return match.end()

    def _data(self, data: bytes, offset: int, out: list[bytes]) -> int:
        piece = data[offset : offset + self._left]
        out.append(piece)
        self._left -= len(piece)
        if not self._left:
            self._step = ChunkedDecoder._data_end
        return offset + len(piece)

    def _data_end(self, data: bytes, offset: int, _out: list[bytes]) -> int:
        if data.startswith(b"\r\n", offset):
            self._step = ChunkedDecoder._size
            return offset + 2
        if data[offset:] == b"\r":
            return offset
        raise BadChunk("a chunk is longer than its size")

    def _trailer(self, data: bytes, offset: int, _out: list[bytes]) -> int:
        end = data.find(b"\r\n", offset)
        if end < 0:
            return self._wait_for_line(data, offset)
        if end + 2 - offset > _MAX_LINE_BYTES or data.find(b"\n", offset, end) >= 0:
            raise BadChunk("a line cannot be read")
        if end == offset:
            self._step = ChunkedDecoder._done
        return end + 2

    def _done(self, _data: bytes, offset: int, _out: list[bytes]) -> int:
        return offset

    def _wait_for_line(self, data: bytes, offset: int) -> int:
        if b"\n" in data[offset:] or len(data) - offset >= _MAX_LINE_BYTES:
            raise BadChunk("a line cannot be read")
        return offset


_Step = Callable[[ChunkedDecoder, bytes, int, list[bytes]], int]
"""Processes bytes from an offset on; returns the next offset, or the same for more bytes."""
