"""Undoes the compression of a request body piece by piece, in bounded memory and time."""

from __future__ import annotations

import time
import zlib

from proxy.errors import BadRequest, BodyTooLarge

PIECE_BYTES = 1024 * 1024
_FED_BYTES = 64 * 1024
_MOST_MEMBERS = 1000
"""Of a gzip; tools that make several make one for each block, of a megabyte or so."""
_LONGEST_SECONDS = 10.0
"""Of work on one body; the largest that is let in takes a fraction of a second."""
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def can_decompress(coding: str) -> bool:
    """Whether this Content-Encoding can be undone here."""
    return coding in _WINDOWS


class Unpacked:
    """What a compressed body stands for (RFC 9110, 8.4.1), in pieces."""

    def __init__(self, body: bytes, coding: str, most: int) -> None:
        """`most`: how many bytes it may come to."""
        self._left = memoryview(body)
        self._coding = coding
        self._most = most
        self._room = most
        self._members = 0
        self._stream: zlib._Decompress | None = None
        self._seconds = 0.0

    def piece(self) -> bytes:
        """The next piece, of at most `PIECE_BYTES`; empty at the end.

        Raises `BadRequest` for what is not of that coding, or has too many members, or takes too
        long, and `BodyTooLarge` above the limit.
        """
        began = time.thread_time()
        parts: list[bytes] = []
        size = 0
        while size < PIECE_BYTES and (self._left or self._stream is not None):
            parts.append(self._some(PIECE_BYTES - size))
            size += len(parts[-1])
        self._seconds += time.thread_time() - began
        if self._seconds > _LONGEST_SECONDS:
            raise BadRequest("The body takes too long to uncompress.")
        return b"".join(parts)

    def _some(self, most: int) -> bytes:
        """What a bounded stretch of the body stands for; it may stand for nothing."""
        stream = self._stream or self._begin()
        fed = self._left[:_FED_BYTES]
        try:
            # One more than there is room for, so that too much is seen as such.
            some = stream.decompress(fed, min(most, self._room + 1))
        except zlib.error:
            raise self._wrong("is not {}, as its Content-Encoding says") from None
        self._room -= len(some)
        if self._room < 0:
            raise BodyTooLarge(
                f"The body is larger than {self._most} bytes once it is uncompressed."
            )
        # Only positions move: copies of the rest would make time grow by the square.
        unused = len(stream.unused_data) if stream.eof else len(stream.unconsumed_tail)
        taken = len(fed) - unused
        self._left = self._left[taken:]
        if stream.eof:
            self._stream = None
        elif not some and not taken:
            raise self._wrong("'s {} ends too early", joined=True)
        return some

    def _begin(self) -> zlib._Decompress:
        # A gzip body may have several members (RFC 1952, 2.2).
        self._members += 1
        if self._members > _MOST_MEMBERS:
            raise BadRequest(f"The body's {self._coding} has more than {_MOST_MEMBERS} members.")
        self._stream = zlib.decompressobj(_WINDOWS[self._coding])
        return self._stream

    def _wrong(self, text: str, *, joined: bool = False) -> BadRequest:
        return BadRequest(f"The body{'' if joined else ' '}{text.format(self._coding)}.")


def decompress(body: bytes, coding: str, most: int) -> bytes:
    """All of it at once. Raises as `Unpacked.piece` does."""
    return b"".join(iter(Unpacked(body, coding, most).piece, b""))
