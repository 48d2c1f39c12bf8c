"""An aiohttp server with a custom protocol class for its connections.

aiohttp has no documented way to set it: `web.AppRunner` makes the server, and the server makes each
connection's protocol.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable

from aiohttp import web

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class ProtocolRunner(web.AppRunner, ABC):
    """Serves an application over the protocols that a subclass makes."""

    @abstractmethod
    def make_protocol(self, server: web.Server, **kwargs: object) -> asyncio.BaseProtocol:
        """Make the protocol of a new connection; `kwargs` are for aiohttp's `RequestHandler`."""

    def wrap_handler(self, handler: Handler) -> Handler:
        """Return the server's handler of requests; a subclass may wrap the application's."""
        return handler

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        server.request_handler = self.wrap_handler(server.request_handler)
        server.__class__ = _Server
        assert isinstance(server, _Server)
        server.runner = self
        return server


class _Server(web.Server):
    runner: ProtocolRunner

    def __call__(self) -> asyncio.BaseProtocol:  # type: ignore[override] # the loop takes any
        return self.runner.make_protocol(self, loop=self._loop, **self._kwargs)
