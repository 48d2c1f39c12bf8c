"""A server whose connections are of a class of one's own."""

from __future__ import annotations

import aiohttp
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.http.protocol_runner import ProtocolRunner


class Runner(ProtocolRunner):
    """Keeps the connections that it makes."""

    def __init__(self, app: web.Application) -> None:
        super().__init__(app, access_log=None)
        self.made: list[RequestHandler] = []

    def make_protocol(self, server: web.Server, **kwargs: object) -> RequestHandler:
        assert server is self.server
        self.made.append(RequestHandler(server, **kwargs))  # type: ignore[arg-type]
        return self.made[-1]


async def hello(_: web.Request) -> web.Response:
    return web.Response(text="hello")


async def test_each_connection_is_made_by_the_runner() -> None:
    """One protocol a connection, which serves the application and ends with the runner."""
    app = web.Application()
    app.router.add_get("/", hello)
    runner = Runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    for connections in (1, 2):
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{site.port}/") as answer,
        ):
            assert await answer.text() == "hello"
        assert len(runner.made) == connections
    await runner.cleanup()
    assert runner.made[-1].transport is None
