"""The admin port's server: malformed requests get JSON errors, too."""

from __future__ import annotations

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from proxy.http.aiohttp_server_internals import has_begun
from proxy.http.protocol_runner import ProtocolRunner


class AdminRunner(ProtocolRunner):
    """Serves an application whose protocol errors are JSON."""

    def make_protocol(self, server: web.Server, **kwargs: object) -> RequestHandler:
        """Make a connection of the class below."""
        return _Connection(server, **kwargs)  # type: ignore[arg-type] # aiohttp's own


class _Connection(RequestHandler):
    """A connection that answers malformed requests in JSON, without repeating their bytes."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 it has the client's bytes
    ) -> web.StreamResponse:
        """Answer with a JSON error. Raises `ConnectionError` if a response has already begun."""
        if has_begun(request):
            raise ConnectionError("The response has already begun.")
        if status >= 500:
            self.log_exception("A request to the admin port failed.", exc_info=exc)
            response = refusal(status, "internal_error", "Sluice failed; its log says why.")
        else:
            reason = "The request is not valid HTTP."
            response = refusal(status, "invalid_request", reason)
        response.force_close()
        return response


def refusal(status: int, code: str, message: str) -> web.Response:
    """Build an error response in the shape of Sluice's other errors."""
    return web.json_response({"error": {"message": message, "code": code}}, status=status)
