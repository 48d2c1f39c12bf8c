"""The server's protocol: a time limit for request heads, and JSON errors for malformed requests."""

from __future__ import annotations

import asyncio
import logging
import re
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import islice

from aiohttp import HttpVersion11, StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.http_exceptions import LineTooLong
from aiohttp.web_protocol import RequestHandler

from proxy.edge import early_disconnect, request_context, request_head
from proxy.edge.downstream_response import error_response
from proxy.edge.reject_connection import reject_unread
from proxy.edge.request_context import RequestContext
from proxy.edge.worker_state import WORKER_STATE
from proxy.errors import BadRequest, Internal, SluiceError
from proxy.http.bounded_reads import BoundedReads
from proxy.http.protocol_runner import ProtocolRunner
from proxy.refusals import HeadersTooLarge, HttpVersionNotSupported, UriTooLong

LONGEST_TARGET_BYTES = 16 * 1024
LARGEST_FIELD_BYTES = 32 * 1024
"""Must differ from the target's limit: only the number tells which one the parser hit."""
_LARGEST_HEAD_BYTES = 128 * 1024
_LINGER_SECONDS = 5.0
"""How long the rest of a refused body is read: a client blocked in sending may not read."""
_TOO_MANY_FIELDS = "Too many headers"
_OTHER_VERSION = re.compile(rb"\r*\n*[!-~]+ [!-~]+ HTTP/(?!1\.[01]\r)[0-9]\.[0-9]+\r")

_NOTHING = memoryview(b"")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)


class GatewayRunner(ProtocolRunner):
    """Serves an application; malformed requests get JSON errors like any other refusal."""

    head_seconds: float | None = None
    """How long a connection may take to send a whole head; None: unlimited."""

    def make_protocol(self, server: web.Server, **kwargs: object) -> BoundedReads:
        """Make a connection that reads into a preallocated buffer."""
        return BoundedReads(_Connection(server, self.app, self.head_seconds, **kwargs))

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # Checked before the application's routing, `Expect` handling and preflights.
        server.request_handler = _checking(self.app, server.request_handler)
        return server


def _checking(app: web.Application, handler: Handler) -> Handler:
    async def check(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        if isinstance(request.protocol, _Connection):
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
        # aiohttp's status line repeats the request's version; answer in HTTP/1.1 instead.
        request._cache["version"] = HttpVersion11  # noqa: SLF001 no public way
    if response.status == web.HTTPMethodNotAllowed.status_code:
        response.headers["Allow"] = request_head.ALLOWED_METHODS
    response.force_close()
    return response


def _record_rejection(
    app: web.Application, request: web.Request, error: SluiceError
) -> RequestContext:
    """Record a request that was rejected before routing. Return its context."""
    context = RequestContext.of(request)
    context.record_error(error)
    if WORKER_STATE in app:
        app[WORKER_STATE].identify(context)
        app[WORKER_STATE].telemetry.finish(context)
    return context


def refuse_rest(request: web.BaseRequest, error: MemoryError) -> None:
    """Discard the rest of a body for which there is no memory.

    aiohttp would continue to read it after the response, fail for want of memory, and disconnect
    before the client has read the response.
    """
    connection = request.protocol
    if isinstance(connection, _Connection) and not request.content.is_eof():
        connection.out_of_memory(error)


class _Connection(RequestHandler):
    """A client connection. It differs from aiohttp's in three ways.

    Malformed requests are answered in JSON, and their bytes, which may hold a key, are not logged.
    A head must arrive within `head_seconds`. A request whose client disconnects while it waits
    behind another one of the connection is counted.
    """

    __slots__ = (
        "_app",
        "_body",
        "_head_bytes",
        "_head_seconds",
        "_head_timer",
        "_refuses_rest",
        "_unparsed_id",
        "_unparsed_version",
        "_unserved",
    )

    def __init__(
        self,
        manager: web.Server,
        app: web.Application,
        head_seconds: float | None,
        **kwargs: object,
    ) -> None:
        super().__init__(manager, **kwargs)  # type: ignore[arg-type] # aiohttp's own, passed through
        self._head_seconds = head_seconds
        self._app = app
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refuses_rest = False
        self._unserved: deque[RawRequestMessage] = deque()
        self._body: StreamReader | None = None
        """The body of the last request whose head was parsed, whether or not it is being served."""
        self._unparsed_id = ""
        self._unparsed_version = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the time limit; count pipelined requests that the client left unserved."""
        self._head_complete()
        # If the worker closed the connection, its handler task has already ended.
        left_by_client = self._task_handler is not None and not self._task_handler.done()
        super().connection_lost(exc)
        unserved, self._unserved = self._unserved, deque()
        if left_by_client and WORKER_STATE in self._app:
            for message in unserved:
                early_disconnect.count_message(message, self._app[WORKER_STATE])

    def message_started(self) -> None:
        """Note that the next parsed request is being served."""
        if self._unserved:
            self._unserved.popleft()

    def data_received(self, data: bytes) -> None:
        """Parse received bytes, and check whether a head is complete."""
        if self._refuses_rest:
            return
        before = len(self._messages)
        try:
            super().data_received(data)
        except MemoryError as error:
            self.out_of_memory(error, memoryview(data))
            return
        for message, _ in islice(self._messages, before, None):
            if isinstance(message, RawRequestMessage):
                self._unserved.append(message)
        if self._messages:
            self._body = self._messages[-1][1]
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            # nginx or the client may have logged the request under this id.
            self._unparsed_id = early_disconnect.request_id_in(data)
            self._unparsed_version = _OTHER_VERSION.match(data) is not None
        if self._current_request is not None or not self._inside_head():
            self._head_complete()
        elif data:
            self._head_bytes += len(data)
            self._wait_for_head()
            if self._head_bytes > _LARGEST_HEAD_BYTES:
                self.force_close()

    def out_of_memory(self, error: MemoryError, lost: memoryview = _NOTHING) -> None:
        """Refuse the request that is being read: the parser has lost its position in it.

        Further bytes are read and discarded, because a client blocked in sending may not read.
        `lost` holds the bytes of it that could not be kept.
        """
        self._refuses_rest = True
        self._head_complete()
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(error)
            self.close()
        elif self._messages or self._request_in_progress:
            # The requests after it are lost.
            self.close()
        else:
            if self.transport is not None:
                self.transport.write(reject_unread(lost, self._app.get(WORKER_STATE)))
            self.force_close()

    def force_close(self) -> None:
        """Close; if a body was refused, only after the client has had time to read the response."""
        if self._refuses_rest and self.transport is not None:
            transport, self.transport = self.transport, None
            self._loop.call_later(_LINGER_SECONDS, transport.close)
        super().force_close()

    def _inside_head(self) -> bool:
        if self._messages:
            return False
        if self._waiter is None:
            # Before the first request the connection's task may not wait yet; after a response it
            # may still read the rest of a body.
            return self._request_count == 0
        return not self._waiter.done()

    def _wait_for_head(self) -> None:
        if self._head_timer is None and self._head_seconds:
            self._head_timer = self._loop.call_later(self._head_seconds, self._head_is_late)

    def _head_complete(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        _log.info("Connection closed: no complete request head within %g s", self._head_seconds)
        self.force_close()

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Log a traceback, unless the cause is exhausted memory."""
        if not self._refuses_rest:
            super().log_exception(*args, **kwargs)

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
            context = _record_rejection(self._app, request, error)
        else:
            context = RequestContext.of(request)
        _log.info(
            "Malformed request: %s (request %s)",
            type(exc).__name__,
            context.record.request_id,
        )
        if request.writer.output_size > 0:
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
