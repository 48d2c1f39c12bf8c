"""The admin port's server: whatever it refuses by itself is JSON, too."""

from __future__ import annotations

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.http.protocol_runner import ProtocolRunner


class AdminRunner(ProtocolRunner):
    """Serves an application; what is no HTTP gets an answer like any other refusal."""

    def make_protocol(self, server: web.Server, **kwargs: object) -> RequestHandler:
        """A connection of its own class."""
        return _Connection(server, **kwargs)  # type: ignore[arg-type] # aiohttp's own


class _Connection(RequestHandler):
    """aiohttp would answer in plain text, with the client's bytes in it."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 it has the client's bytes
    ) -> web.StreamResponse:
        """Refuse as JSON. Raises `ConnectionError` where an answer has begun already."""
        if request.writer.output_size > 0:
            raise ConnectionError("There is an answer already.")
        if status >= 500:
            self.log_exception("A request to the admin port failed.", exc_info=exc)
            response = refusal(status, "internal_error", "Sluice failed; its log says why.")
        else:
            what = "This is no HTTP request that can be understood."
            response = refusal(status, "invalid_request", what)
        response.force_close()
        return response


def refusal(status: int, code: str, message: str) -> web.Response:
    """A refusal in the shape of all of Sluice's own."""
    return web.json_response({"error": {"message": message, "code": code}}, status=status)
