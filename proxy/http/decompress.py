"""Undoes the compression of a body (RFC 9110, 8.4.1), in bounded memory and time.

A request's body is had whole, so it is undone piece by piece as memory is granted for it
(`DecompressedBody`). A response's is undone as its bytes come (`Decompressor`): an event that was
flushed must not wait for the next.
"""

from __future__ import annotations

import time
import zlib

from proxy.errors import BadRequest, BodyTooLarge

PIECE_BYTES = 1024 * 1024
_FED_BYTES = 64 * 1024
_MAX_MEMBERS = 1000
"""Of a gzip request; tools that make several make one for each block, of a megabyte or so."""
_MAX_SECONDS = 10.0
"""Of work on one request; the largest that is let in takes a fraction of a second."""
_MAX_READ_BYTES = 8 * 1024 * 1024
"""Out of one read of a response: more is no text that a model wrote but an attack on the memory."""
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def can_decompress(coding: str) -> bool:
    """Whether this Content-Encoding can be undone here."""
    return coding in _WINDOWS


class _Members:
    """A gzip body may have several members (RFC 1952, 2.2): each is undone after the other."""

    __slots__ = ("_coding", "_window", "begun", "stream")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._window = _WINDOWS[coding]
        self.begun = 0
        """How many members have begun."""
        self.stream: zlib._Decompress | None = None
        """The member that has not ended; None between two."""

    def needs(self) -> int:
        """How many bytes must be there at once for the next step."""
        return 2 if not self.begun and self._coding == "deflate" else 1

    def step(self, data: memoryview, most: int) -> tuple[bytes, int]:
        """What the data stands for, as far as `most` bytes, and how much of the data that took.

        It may stand for nothing yet. Raises `zlib.error` for what is not of the coding.
        """
        stream = self.stream or self._begin(data)
        decompressed = stream.decompress(data, most)
        unused = len(stream.unused_data) if stream.eof else len(stream.unconsumed_tail)
        if stream.eof:
            self.stream = None
        return decompressed, len(data) - unused

    def _begin(self, data: memoryview) -> zlib._Decompress:
        if not self.begun and self._coding == "deflate" and not _has_zlib_header(data):
            self._window = -zlib.MAX_WBITS
        self.begun += 1
        self.stream = zlib.decompressobj(self._window)
        return self.stream


def _has_zlib_header(data: memoryview) -> bool:
    """Some senders leave the zlib wrapper of deflate out (RFC 9110, 8.4.1.2; RFC 1950, 2.2)."""
    return data[0] & 0x0F == zlib.DEFLATED and not int.from_bytes(data[:2], "big") % 31


class DecompressedBody:
    """What a whole compressed body stands for, in pieces."""

    def __init__(self, body: bytes, coding: str, most: int) -> None:
        """`most`: how many bytes it may come to."""
        self._left = memoryview(body)
        self._coding = coding
        self._most = most
        self._allowed = most
        self._members = _Members(coding)
        self._seconds = 0.0

    def piece(self, most: int = PIECE_BYTES) -> bytes:
        """The next piece, of at most so many bytes; shorter only at the end.

        Raises `BadRequest` for what is not of that coding, or has too many members, or takes too
        long, and `BodyTooLarge` above the limit.
        """
        began = time.thread_time()
        parts: list[bytes] = []
        size = 0
        while size < most and (self._left or self._members.stream is not None):
            parts.append(self._part(most - size))
            size += len(parts[-1])
        self._seconds += time.thread_time() - began
        if self._seconds > _MAX_SECONDS:
            raise BadRequest("The body takes too long to uncompress.")
        return b"".join(parts)

    def _part(self, most: int) -> bytes:
        """What a bounded stretch of the body stands for; it may stand for nothing."""
        members = self._members
        try:
            # One byte more than is allowed, so that too much is seen as such.
            part, taken = members.step(self._left[:_FED_BYTES], min(most, self._allowed + 1))
        except zlib.error:
            raise BadRequest(
                f"The body is not {self._coding}, as its Content-Encoding says."
            ) from None
        if members.begun > _MAX_MEMBERS:
            raise BadRequest(f"The body's {self._coding} has more than {_MAX_MEMBERS} members.")
        self._allowed -= len(part)
        if self._allowed < 0:
            raise BodyTooLarge(
                f"The body is larger than {self._most} bytes once it is uncompressed."
            )
        # Only positions move: copies of the rest would make time grow by the square.
        self._left = self._left[taken:]
        if members.stream is not None and not part and not taken:
            raise BadRequest(f"The body's {self._coding} ends too early.")
        return part


class Decompressor:
    """Compressed bytes in as they come, bytes out as far as they reach."""

    __slots__ = ("_held", "_members")

    def __init__(self, coding: str) -> None:
        self._members = _Members(coding)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """What the bytes stand for, maybe nothing yet. Raises `ValueError` if they are broken."""
        data = self._held + data
        self._held = b""
        if len(data) < self._members.needs():
            self._held = data
            return b""
        try:
            return self._decompress(memoryview(data))
        except zlib.error as error:
            raise ValueError(str(error)) from error

    def _decompress(self, left: memoryview) -> bytes:
        parts: list[bytes] = []
        allowed = _MAX_READ_BYTES
        while left:
            part, taken = self._members.step(left, allowed)
            parts.append(part)
            allowed -= len(part)
            left = left[taken:]
            if not allowed or (left and self._members.stream is not None):
                raise ValueError(f"More than {_MAX_READ_BYTES} bytes came out of one read.")
        return b"".join(parts)
