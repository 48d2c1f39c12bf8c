"""Undoes a compression that was not asked for, as far as its bytes have come."""

from __future__ import annotations

import zlib

_GZIP = 16 + zlib.MAX_WBITS
_WINDOWS = {"gzip": _GZIP, "x-gzip": _GZIP, "deflate": zlib.MAX_WBITS}
_LARGEST = 8 * 1024 * 1024
"""Bytes out of one read: more is no text that a model wrote but an attack on the memory."""


class Inflater:
    """Bytes in as they come, bytes out as far as they reach."""

    @staticmethod
    def knows(coding: str) -> bool:
        """Whether a Content-Encoding can be undone here."""
        return coding in _WINDOWS

    def __init__(self, coding: str) -> None:
        self._window = _WINDOWS[coding]
        self._stream = zlib.decompressobj(self._window)
        self._head = b""
        self._undecided = coding == "deflate"

    def feed(self, data: bytes) -> bytes:
        """What the bytes stand for, maybe nothing yet. Raises `ValueError` if they are broken."""
        if self._undecided:
            data = self._head = self._head + data
            if len(data) < 2:
                return b""
            self._decide(data)
        try:
            return self._inflate(data)
        except zlib.error as error:
            raise ValueError(str(error)) from error

    def _decide(self, data: bytes) -> None:
        """Some servers send deflate without the zlib wrapper (RFC 9110, 8.4.1.2; RFC 1950, 2.2)."""
        self._undecided, self._head = False, b""
        if data[0] & 0x0F != zlib.DEFLATED or int.from_bytes(data[:2], "big") % 31:
            self._window = -zlib.MAX_WBITS
            self._stream = zlib.decompressobj(self._window)

    def _inflate(self, data: bytes) -> bytes:
        out: list[bytes] = []
        room = _LARGEST
        while data:
            part = self._stream.decompress(data, room)
            out.append(part)
            room -= len(part)
            if self._stream.unconsumed_tail or not room:
                raise ValueError(f"More than {_LARGEST} bytes came out of one read.")
            data = self._stream.unused_data
            if data:
                # A gzip body may have several members (RFC 1952, 2.2).
                self._stream = zlib.decompressobj(self._window)
        return b"".join(out)
