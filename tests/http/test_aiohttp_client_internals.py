"""A session that sends each request once, and bytes that came before a failure."""

from __future__ import annotations

import asyncio

import aiohttp
import pytest
from aiohttp.base_protocol import BaseProtocol

from proxy.http.aiohttp_client_internals import disable_retries, unread_bytes


async def test_a_session_that_does_not_ask_again() -> None:
    """A server that closes without a response is asked once, also for a GET."""
    asked = []

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            if line.startswith(b"GET /second"):
                asked.append(line)
                writer.close()
                return
            if line == b"\r\n":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    server = await asyncio.start_server(close, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
        disable_retries(session)
        async with session.get("/first"):
            pass
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.get("/second")
    assert len(asked) == 1


async def test_bytes_before_a_failure() -> None:
    """They are taken once, although reading would raise."""
    loop = asyncio.get_running_loop()
    content = aiohttp.StreamReader(BaseProtocol(loop), 2**16, loop=loop)
    content.feed_data(b"data: 1\n\n")
    content.set_exception(aiohttp.ClientPayloadError("cut"))
    with pytest.raises(aiohttp.ClientPayloadError):
        await content.read()
    assert unread_bytes(content) == b"data: 1\n\n"
    assert unread_bytes(content) == b""
