"""Writes a response to the connection's transport, framed as its head says, or wrongly on purpose.

aiohttp's writer cannot frame a body wrongly, so only its flow control is used.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import zlib
from typing import TYPE_CHECKING

from aiohttp import web

from proxy.demo.response_head import Framing

if TYPE_CHECKING:
    from proxy.demo.recorded_calls import RecordedCall

_GZIP_WINDOW = 31
_PIECE = 64 * 1024
_LINGER_OFF = struct.pack("ii", 1, 0)  # SO_LINGER on with 0 seconds: close sends RST (socket(7))


class ResponseWriter:
    """Writes one response. Methods raise ConnectionResetError if the peer has disconnected."""

    def __init__(self, request: web.BaseRequest, call: RecordedCall) -> None:
        self._request = request
        self._protocol = request.protocol
        self._call = call
        self._framing = Framing.CLOSE
        self._pending: list[bytes] = []
        self._size = 0
        self._events = 0
        self._gzip: zlib._Compress | None = None
        self._by_byte = False
        self._bodiless = request.method == "HEAD"
        self.keep_alive = False

    def shape(self, framing: Framing, *, gzip: bool = False, by_byte: bool = False) -> None:
        """Set how the body is framed, compressed and written; call it before the first byte."""
        self._framing = framing
        self._by_byte = by_byte
        if gzip:
            self._gzip = zlib.compressobj(wbits=_GZIP_WINDOW)

    @property
    def full(self) -> bool:
        """Whether enough bytes are buffered for a write."""
        return self._size >= _PIECE

    def put(self, data: bytes, events: int = 0) -> None:
        """Frame body bytes, and buffer them for the next flush."""
        if self._bodiless:
            return
        if self._gzip is not None:
            data = self._gzip.compress(data) + self._gzip.flush(zlib.Z_SYNC_FLUSH)
        self._events += events
        if not data:
            return
        if self._framing is Framing.CHUNKED:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self.put_raw(data)

    def put_raw(self, data: bytes) -> None:
        """Buffer bytes for the next flush, unchanged."""
        self._pending.append(data)
        self._size += len(data)

    async def put_filler(self, size: int) -> None:
        """Write `size` body bytes, buffering at most a piece of them."""
        piece = b"x" * min(size, _PIECE)
        while size > 0:
            self.put(piece[:size])
            size -= len(piece)
            await self.flush()

    async def flush(self) -> None:
        """Write the buffered bytes, and wait while the peer does not read."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        self._pending.clear()
        self._size = 0
        transport = self._transport()
        if self._by_byte:
            for place in range(len(data)):
                self._transport().write(data[place : place + 1])
                await asyncio.sleep(0)
        else:
            transport.write(data)
        self._call.sent(len(data), self._events)
        self._events = 0
        if self._protocol.writing_paused:
            await self._request.writer.drain()

    async def finish(self) -> None:
        """End the body as its framing requires."""
        if self._gzip is not None:
            rest, self._gzip = self._gzip.flush(), None
            self.put(rest)
        if self._framing is Framing.CHUNKED and not self._bodiless:
            self.put_raw(b"0\r\n\r\n")
        await self.flush()
        if self._framing is Framing.CLOSE:
            self._transport().close()
        else:
            self.keep_alive = bool(self._request.keep_alive)

    async def close(self) -> None:
        """Close the connection after everything is written."""
        await self.flush()
        self.keep_alive = False
        self._transport().close()

    async def reset(self) -> None:
        """Reset the connection: an RST on TCP, an abrupt end on a unix socket, which has none."""
        await self.flush()
        self.keep_alive = False
        transport = self._transport()
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_OFF)
        transport.abort()

    def _transport(self) -> asyncio.Transport:
        transport = self._request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("The peer has disconnected.")
        return transport


class WrittenResponse(web.StreamResponse):
    """Tells aiohttp that the response has been written already."""

    def __init__(self, status: int, *, keep_alive: bool) -> None:
        super().__init__(status=status)
        self._kept = keep_alive

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection can be reused."""
        return self._kept

    async def prepare(self, request: web.BaseRequest) -> None:
        """Write nothing: the head has been written."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Write nothing: the body has ended."""
