"""A client's connection: heads that do not end, requests that nobody serves, full memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web
from aiohttp.http import RawRequestMessage

from proxy.http.client_connection import ClientConnection
from proxy.http.protocol_runner import Handler, ProtocolRunner

HEAD_SECONDS = 0.3
REFUSED = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


class Connection(ClientConnection):
    """Notes what it is told."""

    def __init__(self, manager: web.Server, notes: list[str], **kwargs: object) -> None:
        super().__init__(manager, HEAD_SECONDS, **kwargs)
        self.notes = notes

    def left_unserved(self, message: RawRequestMessage) -> None:
        self.notes.append(f"unserved {message.path}")

    def received_malformed(self, data: bytes) -> None:
        self.notes.append(f"malformed {data.decode()!r}")

    def refusal_of_unread(self, lost: memoryview) -> bytes:
        self.notes.append(f"lost {bytes(lost).decode()!r}")
        return REFUSED


class Runner(ProtocolRunner):
    """Makes them, and keeps them."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, access_log=None, handler_cancellation=True)
        self.notes: list[str] = []
        self.made: list[Connection] = []

    def make_protocol(self, server: web.Server, **kwargs: object) -> Connection:
        self.made.append(Connection(server, self.notes, **kwargs))
        return self.made[-1]

    def wrap_handler(self, handler: Handler) -> Handler:
        async def started(request: web.BaseRequest) -> web.StreamResponse:
            self.made[-1].message_started()
            return await handler(request)

        return started


async def _hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _silent(_request: web.Request) -> web.Response:
    await asyncio.Event().wait()
    raise AssertionError


@pytest.fixture
async def runner() -> AsyncIterator[Runner]:
    """A server of such connections."""
    app = web.Application()
    app.router.add_get("/", _hello)
    app.router.add_get("/silent", _silent)
    made = Runner(app)
    await made.setup()
    await web.TCPSite(made, "127.0.0.1", 0).start()
    yield made
    await made.cleanup()


async def connect(runner: Runner) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection to it."""
    host, port = runner.addresses[0][:2]
    return await asyncio.open_connection(host, port)


async def noted(runner: Runner, count: int = 1) -> list[str]:
    """Wait until so much has been noted."""
    async with asyncio.timeout(5):
        while len(runner.notes) < count:
            await asyncio.sleep(0.005)
    return runner.notes


async def test_a_head_that_does_not_end(runner: Runner) -> None:
    """Its connection is closed after the time for heads, or past their size at once."""
    for begun in (b"", b"GET / HTTP/1.1\r\n"):
        reader, writer = await connect(runner)
        writer.write(begun)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()


async def test_a_request_behind_another_whose_client_leaves(runner: Runner) -> None:
    """It is reported; the one that was being served is not."""
    _, writer = await connect(runner)
    writer.write(b"GET /silent HTTP/1.1\r\nHost: x\r\n\r\nGET /behind HTTP/1.1\r\nHost: x\r\n\r\n")
    async with asyncio.timeout(5):
        while not runner.made or len(runner.made[0]._unserved) != 1:
            await asyncio.sleep(0.005)
    writer.close()
    assert await noted(runner) == ["unserved /behind"]


async def test_what_is_no_request(runner: Runner) -> None:
    """Its bytes are reported before it is answered."""
    reader, writer = await connect(runner)
    writer.write(b"nonsense\r\n\r\n")
    async with asyncio.timeout(5):
        assert (await reader.read()).startswith(b"HTTP/1.0 400")
    writer.close()
    assert runner.notes == [r"malformed 'nonsense\r\n\r\n'"]


async def test_memory_that_is_full_before_a_head(runner: Runner) -> None:
    """The refusal is sent at once; the connection lingers, so that the client can read it."""
    reader, writer = await connect(runner)
    async with asyncio.timeout(5):
        while not runner.made or runner.made[0].transport is None:
            await asyncio.sleep(0.005)
        runner.made[0].out_of_memory(MemoryError(), memoryview(b"GET /"))
        assert await reader.readexactly(len(REFUSED)) == REFUSED
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await writer.drain()
    assert runner.notes == ["lost 'GET /'"]
    writer.close()
