"""What happens to bytes that are no HTTP request, before there is any route to answer for them."""

from __future__ import annotations

import logging

from aiohttp import web
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.edge.reply import refusal
from proxy.edge.visit import Visit
from proxy.errors import BadRequest, Internal, SluiceError

_log = logging.getLogger(__name__)


class Runner(web.AppRunner):
    """Serves an application; what is no HTTP gets an answer like any other refusal."""

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # aiohttp has no other place to name the class of its connections.
        server.__class__ = _Server
        return server


class _Server(web.Server):
    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    """aiohttp would answer in plain text, and log the client's bytes, with whatever key they have.

    It closes the connection after the answer: nobody knows where the next request begins.
    """

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 it repeats the client's bytes
    ) -> web.StreamResponse:
        """Refuse as JSON. Raises `ConnectionError` where an answer has begun already."""
        assert isinstance(request, web.Request)
        visit = Visit.of(request)
        _log.info(
            "A request could not be read: %s (request %s)",
            type(exc).__name__,
            visit.exchange.request_id,
        )
        if request.writer.output_size > 0:
            raise ConnectionError("There is an answer already.")
        response = refusal(_named(status, exc), visit.exchange)
        response.force_close()
        return response


def _named(status: int, error: BaseException | None) -> SluiceError:
    if status >= 500:
        return Internal("Sluice failed.")
    if isinstance(error, LineTooLong):
        return BadRequest("The URL or a header is too long.")
    return BadRequest("This is no HTTP request that can be understood.")
