"""The worker's server: malformed requests, and heads that break a rule, get JSON errors."""

from __future__ import annotations

import re

import structlog
from aiohttp import web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong

from proxy.edge import early_disconnect, request_context, request_head
from proxy.edge.downstream_response import error_response
from proxy.edge.reject_connection import reject_unread
from proxy.edge.request_context import RequestContext
from proxy.edge.worker_state import WORKER_STATE
from proxy.errors import BadRequest, Internal, SluiceError
from proxy.http.aiohttp_server_internals import answer_in_http11, has_begun
from proxy.http.bounded_reads import BoundedReads
from proxy.http.client_connection import ClientConnection
from proxy.http.protocol_runner import Handler, ProtocolRunner
from proxy.request_errors import HeadersTooLarge, HttpVersionNotSupported, UriTooLong

LONGEST_TARGET_BYTES = 16 * 1024
LARGEST_FIELD_BYTES = 32 * 1024
"""Must differ from the target's limit: only the number tells which one the parser hit."""
_TOO_MANY_FIELDS = "Too many headers"
_OTHER_VERSION = re.compile(rb"\r*\n*[!-~]+ [!-~]+ HTTP/(?!1\.[01]\r)[0-9]\.[0-9]+\r")

_log = structlog.get_logger()


class GatewayRunner(ProtocolRunner):
    """Serves an application; malformed requests get JSON errors like any other refusal."""

    head_seconds: float | None = None
    """How long a connection may take to send a whole head; None: unlimited."""

    def make_protocol(self, server: web.Server, **kwargs: object) -> BoundedReads:
        """Make a connection that reads into a preallocated buffer."""
        return BoundedReads(_Connection(server, self.app, self.head_seconds, **kwargs))

    def wrap_handler(self, handler: Handler) -> Handler:
        """Check heads before the application's routing, `Expect` handling and preflights."""
        return _checking(self.app, handler)


def _checking(app: web.Application, handler: Handler) -> Handler:
    async def check(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        if isinstance(request.protocol, ClientConnection):
            request.protocol.message_started()
        try:
            request_head.check(request)
        except SluiceError as error:
            return _refuse(app, request, error)
        return await handler(request)

    return check


def _refuse(app: web.Application, request: web.Request, error: SluiceError) -> web.Response:
    """Record and build the refusal; the connection closes, as what follows may be malformed."""
    context = _record_rejection(app, request, error)
    response = error_response(error, context.record)
    if request.version not in request_head.SPOKEN_VERSIONS:
        answer_in_http11(request)
    if response.status == web.HTTPMethodNotAllowed.status_code:
        response.headers["Allow"] = request_head.ALLOWED_METHODS
    response.force_close()
    return response


def _record_rejection(
    app: web.Application, request: web.Request, error: SluiceError, unparsed_path: str = ""
) -> RequestContext:
    """Record a request that was rejected before routing. Return its context.

    `unparsed_path`: what is known of the path where the parser failed.
    """
    context = RequestContext.of(request, unparsed_path)
    context.record_error(error)
    if WORKER_STATE in app:
        app[WORKER_STATE].identify(context)
        app[WORKER_STATE].telemetry.finish(context)
    return context


class _Connection(ClientConnection):
    """A client connection that answers malformed requests in JSON.

    Their bytes, which may hold a key, are neither logged nor repeated. Requests that were left
    unserved are counted.
    """

    __slots__ = ("_app", "_unparsed_id", "_unparsed_path", "_unparsed_version")

    def __init__(
        self,
        manager: web.Server,
        app: web.Application,
        head_seconds: float | None,
        **kwargs: object,
    ) -> None:
        super().__init__(manager, head_seconds, **kwargs)
        self._app = app
        self._unparsed_id = ""
        self._unparsed_path = ""
        self._unparsed_version = False

    def left_unserved(self, message: RawRequestMessage) -> None:
        """Count the request."""
        if WORKER_STATE in self._app:
            early_disconnect.count_message(message, self._app[WORKER_STATE])

    def received_malformed(self, data: bytes) -> None:
        """Note the id under which nginx or the client may have logged the request, and its path."""
        self._unparsed_id = early_disconnect.request_id_in(data)
        self._unparsed_path = early_disconnect.path_in(data)
        self._unparsed_version = _OTHER_VERSION.match(data) is not None

    def refusal_of_unread(self, lost: memoryview) -> bytes:
        """Return the refusal that is sent where there is no memory for a request."""
        return reject_unread(lost, self._app.get(WORKER_STATE))

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer with a JSON error. Raises `ConnectionError` if a response has already begun.

        aiohttp's message is not repeated: it contains the client's bytes.
        """
        assert isinstance(request, web.Request)
        error = _to_error(status, exc, message or "")
        if self._unparsed_version and isinstance(error, BadRequest):
            error = HttpVersionNotSupported("The request is neither HTTP/1.0 nor HTTP/1.1.")
        if status < 500:
            # The bytes were not parsed into a request, so it has not been recorded yet.
            if self._unparsed_id:
                request_context.adopt_id(request, self._unparsed_id)
            context = _record_rejection(self._app, request, error, self._unparsed_path)
        else:
            context = RequestContext.of(request)
        _log.info(
            "malformed_request", reason=type(exc).__name__, request_id=context.record.request_id
        )
        if has_begun(request):
            raise ConnectionError("The response has already begun.")
        response = error_response(error, context.record)
        response.force_close()
        return response


def _to_error(status: int, error: BaseException | None, message: str) -> SluiceError:
    if status >= 500:
        return Internal("Sluice failed.")
    if isinstance(error, LineTooLong):
        if LONGEST_TARGET_BYTES in error.args:
            return UriTooLong("The URL is too long.")
        return HeadersTooLarge("A header is too long.")
    if message.startswith(_TOO_MANY_FIELDS):
        return HeadersTooLarge("There are too many headers.")
    return BadRequest("The request is not valid HTTP.")
