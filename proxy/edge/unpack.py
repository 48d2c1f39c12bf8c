"""Undoes the compression of a request body, in bounded memory, so that it can be read."""

from __future__ import annotations

import zlib

from proxy.errors import BadRequest, BodyTooLarge

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "x-gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


def knows(coding: str) -> bool:
    """Whether this Content-Encoding can be undone here."""
    return coding in _WINDOWS


def unpack(body: bytes, coding: str, most: int) -> bytes:
    """What a compressed body stands for (RFC 9110, 8.4.1), at most so many bytes.

    Raises `BadRequest` for what is not of that coding, `BodyTooLarge` above the limit.
    """
    parts: list[bytes] = []
    room = most
    # A gzip body may have several members (RFC 1952, 2.2).
    while body:
        stream = zlib.decompressobj(_WINDOWS[coding])
        try:
            parts.append(stream.decompress(body, room + 1))
        except zlib.error:
            raise BadRequest(f"The body is not {coding}, as its Content-Encoding says.") from None
        room -= len(parts[-1])
        if room < 0:
            raise BodyTooLarge(f"The body is larger than {most} bytes once it is uncompressed.")
        if not stream.eof:
            raise BadRequest(f"The body's {coding} ends too early.")
        body = stream.unused_data
    return b"".join(parts)
