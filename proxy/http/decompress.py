"""Decompresses bodies (RFC 9110, 8.4.1) in bounded memory and time.

A request's whole body is decompressed piece by piece, as memory is reserved for it
(`DecompressedBody`). A response's is decompressed as its bytes arrive (`Decompressor`): a flushed
event must not wait for the next.
"""

from __future__ import annotations

import time
import zlib

from proxy.errors import BadRequest, BodyTooLarge

PIECE_BYTES = 1024 * 1024
_FED_BYTES = 64 * 1024
_MAX_MEMBERS = 1000
"""The maximum of members of a gzip request; tools that write several use about one per megabyte."""
_MAX_SECONDS = 10.0
"""The maximum CPU time per request; the largest valid one takes a fraction of a second."""
_MAX_READ_BYTES = 8 * 1024 * 1024
"""The maximum output of one read of a response; more is a decompression bomb."""
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def can_decompress(coding: str) -> bool:
    """Whether this Content-Encoding is supported."""
    return coding in _WINDOWS


class _Members:
    """Decompresses the members of a gzip body (RFC 1952, 2.2) one after the other."""

    __slots__ = ("_coding", "_window", "begun", "stream")

    def __init__(self, coding: str) -> None:
        self._coding = coding
        self._window = _WINDOWS[coding]
        self.begun = 0
        """The number of members begun."""
        self.stream: zlib._Decompress | None = None
        """The unfinished member; None between two."""

    def needs(self) -> int:
        """Return how many bytes the next step needs."""
        return 2 if not self.begun and self._coding == "deflate" else 1

    def step(self, data: memoryview, max_bytes: int) -> tuple[bytes, int]:
        """Decompress up to `max_bytes`; return them, and how much of the data was consumed.

        The output may be empty. Raises `zlib.error` for invalid data.
        """
        stream = self.stream or self._begin(data)
        decompressed = stream.decompress(data, max_bytes)
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
    """Whether deflate has its zlib header, which some senders omit (RFC 9110, 8.4.1.2)."""
    return data[0] & 0x0F == zlib.DEFLATED and not int.from_bytes(data[:2], "big") % 31


class DecompressedBody:
    """A whole compressed body, decompressed in pieces."""

    def __init__(self, body: bytes, coding: str, max_bytes: int) -> None:
        """Take as `max_bytes` the limit of the decompressed size."""
        self._remaining = memoryview(body)
        self._coding = coding
        self._max_bytes = max_bytes
        self._allowed = max_bytes
        self._members = _Members(coding)
        self._seconds = 0.0

    def piece(self, max_bytes: int = PIECE_BYTES) -> bytes:
        """Return the next piece of at most `max_bytes`; shorter only at the end.

        Raises `BadRequest` for invalid data, too many members or too much CPU time, and
        `BodyTooLarge` above the limit.
        """
        began = time.thread_time()
        parts: list[bytes] = []
        size = 0
        while size < max_bytes and (self._remaining or self._members.stream is not None):
            parts.append(self._part(max_bytes - size))
            size += len(parts[-1])
        self._seconds += time.thread_time() - began
        if self._seconds > _MAX_SECONDS:
            raise BadRequest("The body takes too long to decompress.")
        return b"".join(parts)

    def _part(self, max_bytes: int) -> bytes:
        """Decompress a bounded part of the body; the output may be empty."""
        members = self._members
        try:
            # Allow one byte too many, to detect an excess.
            part, taken = members.step(
                self._remaining[:_FED_BYTES], min(max_bytes, self._allowed + 1)
            )
        except zlib.error:
            raise BadRequest(
                f"The body is not {self._coding}, as its Content-Encoding says."
            ) from None
        if members.begun > _MAX_MEMBERS:
            raise BadRequest(f"The body's {self._coding} has more than {_MAX_MEMBERS} members.")
        self._allowed -= len(part)
        if self._allowed < 0:
            raise BodyTooLarge(
                f"The body is larger than {self._max_bytes} bytes once it is uncompressed."
            )
        # A memoryview: copying the rest would take quadratic time.
        self._remaining = self._remaining[taken:]
        if members.stream is not None and not part and not taken:
            raise BadRequest(f"The body's {self._coding} ends too early.")
        return part


class Decompressor:
    """Decompresses a stream incrementally."""

    __slots__ = ("_held", "_members")

    def __init__(self, coding: str) -> None:
        self._members = _Members(coding)
        self._held = b""

    def feed(self, data: bytes) -> bytes:
        """Decompress the next bytes; the output may be empty. Raises `ValueError`."""
        data = self._held + data
        self._held = b""
        if len(data) < self._members.needs():
            self._held = data
            return b""
        try:
            return self._decompress(memoryview(data))
        except zlib.error as error:
            raise ValueError(str(error)) from error

    def _decompress(self, remaining: memoryview) -> bytes:
        parts: list[bytes] = []
        allowed = _MAX_READ_BYTES
        while remaining:
            part, taken = self._members.step(remaining, allowed)
            parts.append(part)
            allowed -= len(part)
            remaining = remaining[taken:]
            if not allowed or (remaining and self._members.stream is not None):
                raise ValueError(
                    f"More than {_MAX_READ_BYTES} bytes came from decompressing one read."
                )
        return b"".join(parts)
