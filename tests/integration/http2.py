"""An HTTP/2 client that can reset one of its streams, like a browser and unlike httpx."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import Self

import h2.config
import h2.connection
import h2.errors
import h2.events

DEADLINE = 10.0
_READ = 65_536


class Http2:
    """One connection over TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._h2 = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=True, header_encoding="utf-8")
        )
        self.bodies: dict[int, bytes] = {}
        """The bytes received of each stream."""
        self.ended: set[int] = set()
        self.broken: set[int] = set()
        """Streams that the server has reset."""

    @classmethod
    async def open(cls, port: int, context: ssl.SSLContext) -> Self:
        """Connect to a port of this machine."""
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            "localhost", port, ssl=context, server_hostname="localhost"
        )
        connection = cls(reader, writer)
        connection._h2.initiate_connection()
        connection._flush()
        return connection

    def post(self, path: str, body: bytes, *fields: tuple[str, str]) -> int:
        """Send a request; return the number of its stream."""
        stream = self._h2.get_next_available_stream_id()
        head = [
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            ("content-type", "application/json"),
            *fields,
        ]
        self._h2.send_headers(stream, head)
        self._h2.send_data(stream, body, end_stream=True)
        self._flush()
        self.bodies[stream] = b""
        return stream

    def reset(self, stream: int) -> None:
        """Reset one stream and no other."""
        self._h2.reset_stream(stream, h2.errors.ErrorCodes.CANCEL)
        self._flush()

    async def until(self, stream: int, mark: bytes) -> None:
        """Read until a stream has received a mark."""
        async with asyncio.timeout(DEADLINE):
            while mark not in self.bodies[stream]:
                self._take(await self._reader.read(_READ))

    async def broken_off(self, stream: int) -> bytes:
        """Read a stream until the server resets it; return what was received of it."""
        async with asyncio.timeout(DEADLINE):
            while stream not in self.broken:
                assert stream not in self.ended, "it ended cleanly"
                self._take(await self._reader.read(_READ))
        return self.bodies[stream]

    async def whole(self, stream: int) -> bytes:
        """Read a stream to its end."""
        async with asyncio.timeout(DEADLINE):
            while stream not in self.ended:
                self._take(await self._reader.read(_READ))
        return self.bodies[stream]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def _take(self, data: bytes) -> None:
        assert data, "the connection ended"
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.bodies[event.stream_id] += event.data
                self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                self.broken.add(event.stream_id)
        self._flush()

    def _flush(self) -> None:
        self._writer.write(self._h2.data_to_send())
