"""Where connections become requests: how long a head may take, and what is no request at all."""

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

from proxy.edge import left, request_context, request_head
from proxy.edge.downstream_response import error_response
from proxy.edge.exhausted import SHORT_OF_MEMORY
from proxy.edge.protocol_runner import ProtocolRunner
from proxy.edge.request_context import RequestContext
from proxy.edge.turning_away import refusal
from proxy.edge.worker_state import WORKER_STATE
from proxy.errors import BadRequest, Internal, SluiceError
from proxy.http.bounded_reads import BoundedReads
from proxy.refusals import HeadersTooLarge, HttpVersionNotSupported, UriTooLong

LONGEST_TARGET_BYTES = 16 * 1024
LARGEST_FIELD_BYTES = 32 * 1024
"""Must differ from the target's: the parser tells them apart by nothing else."""
_LARGEST_HEAD_BYTES = 128 * 1024
_LINGER_SECONDS = 5.0
"""How long the rest of a refused body is read: a client that cannot send may not read, either."""
_TOO_MANY_FIELDS = "Too many headers"
_ID_FIELD = re.compile(rb"\r\nX-Request-ID:[ \t]*([A-Za-z0-9._-]{1,128})[ \t]*\r\n", re.IGNORECASE)
"""In a head that could not be parsed: nginx has logged the request under this id, or the client
knows it by it."""
_OTHER_VERSION = re.compile(rb"\r*\n*[!-~]+ [!-~]+ HTTP/(?!1\.[01]\r)[0-9]\.[0-9]+\r")

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
_log = logging.getLogger(__name__)


class GatewayRunner(ProtocolRunner):
    """Serves an application; what is no HTTP gets an answer like any other refusal."""

    head_seconds: float | None = None
    """How long a connection may take to send a whole head; None: for ever."""

    def make_protocol(self, server: web.Server, **kwargs: object) -> BoundedReads:
        """A connection of its own class, read into a buffer that was there before."""
        return BoundedReads(_Connection(server, self.app, self.head_seconds, **kwargs))

    async def _make_server(self) -> web.Server:
        server = await super()._make_server()
        # Before the application: its routing, `Expect` and preflights are for requests only.
        server.request_handler = _checked(self.app, server.request_handler)
        return server


def _checked(app: web.Application, handler: Handler) -> Handler:
    async def check(request: web.BaseRequest) -> web.StreamResponse:
        assert isinstance(request, web.Request)
        if isinstance(request.protocol, _Connection):
            request.protocol.begun()
        try:
            request_head.check(request)
        except SluiceError as error:
            return _refused(app, request, error)
        return await handler(request)

    return check


def _refused(app: web.Application, request: web.Request, error: SluiceError) -> web.Response:
    """The refusal, accounted for; the connection closes: what follows may be no request either."""
    context = _rejected(app, request, error)
    response = error_response(error, context.record)
    if request.version not in request_head.SPOKEN_VERSIONS:
        # The status line repeats the request's version, and nothing is written in this one.
        request._cache["version"] = HttpVersion11  # noqa: SLF001 no public way
    if response.status == web.HTTPMethodNotAllowed.status_code:
        response.headers["Allow"] = request_head.ALLOWED_METHODS
    response.force_close()
    return response


def _rejected(app: web.Application, request: web.Request, error: SluiceError) -> RequestContext:
    """The context of a request that is over before it was routed: counted, with its log line."""
    context = RequestContext.of(request)
    context.record_error(error)
    if WORKER_STATE in app:
        app[WORKER_STATE].identify(context)
        app[WORKER_STATE].telemetry.finish(context)
    return context


def refuse_rest(request: web.BaseRequest, error: MemoryError) -> None:
    """Drop what still comes of a body that no memory is left for.

    aiohttp would read it on after the answer, and where memory is wanting for that hang up on the
    client before it has read the answer.
    """
    connection = request.protocol
    if isinstance(connection, _Connection) and not request.content.is_eof():
        connection.short_of_memory(error)


class _Connection(RequestHandler):
    """aiohttp would answer in plain text, and log the client's bytes, with whatever key they have.

    It closes the connection after the answer: nobody knows where the next request begins. And it
    would wait for a head for as long as an idle connection is kept.
    """

    __slots__ = (
        "_app",
        "_body",
        "_head_bytes",
        "_head_seconds",
        "_head_timer",
        "_refuses_rest",
        "_unbegun",
        "_unparsed_id",
        "_unparsed_version",
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
        self._unbegun: deque[RawRequestMessage] = deque()
        self._body: StreamReader | None = None
        """Of the last request whose head has come, whether or not anybody has begun with it."""
        self._unparsed_id = ""
        self._unparsed_version = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Wait no longer; count what a client that left will get no answer to."""
        self._head_came()
        # Where the worker ends a connection, its handling has ended before.
        left_by_client = self._task_handler is not None and not self._task_handler.done()
        super().connection_lost(exc)
        unbegun, self._unbegun = self._unbegun, deque()
        if left_by_client and WORKER_STATE in self._app:
            for message in unbegun:
                left.count_message(message, self._app[WORKER_STATE])

    def begun(self) -> None:
        """The next of the requests that have been read is begun with."""
        if self._unbegun:
            self._unbegun.popleft()

    def data_received(self, data: bytes) -> None:
        """Take bytes in, and see whether a head is whole by now."""
        if self._refuses_rest:
            return
        before = len(self._messages)
        try:
            super().data_received(data)
        except MemoryError as error:
            self.short_of_memory(error)
            return
        for message, _ in islice(self._messages, before, None):
            if isinstance(message, RawRequestMessage):
                self._unbegun.append(message)
        if self._messages:
            self._body = self._messages[-1][1]
        if self._messages and not isinstance(self._messages[-1][0], RawRequestMessage):
            found = _ID_FIELD.search(data)
            self._unparsed_id = found[1].decode() if found else ""
            self._unparsed_version = _OTHER_VERSION.match(data) is not None
        if self._current_request is not None or not self._inside_head():
            self._head_came()
        elif data:
            self._head_bytes += len(data)
            self._wait_for_head()
            if self._head_bytes > _LARGEST_HEAD_BYTES:
                self.force_close()

    def short_of_memory(self, error: MemoryError) -> None:
        """Refuse the request that is being read; the parser has lost its place in it.

        What still comes is dropped, since a client that is not read from does not read either.
        """
        self._refuses_rest = True
        self._head_came()
        if self._body is not None and not self._body.is_eof():
            self._body.set_exception(error)
            self.close()
        elif self._messages or self._request_in_progress:
            # What follows it is lost.
            self.close()
        else:
            if self.transport is not None:
                self.transport.write(refusal(b"", SHORT_OF_MEMORY, ())[0])
            self.force_close()

    def force_close(self) -> None:
        """Hang up; on who still sends a body that was refused only once it can have read that."""
        if self._refuses_rest and self.transport is not None:
            transport, self.transport = self.transport, None
            self._loop.call_later(_LINGER_SECONDS, transport.close)
        super().force_close()

    def _inside_head(self) -> bool:
        if self._messages:
            return False
        if self._waiter is None:
            # Before the first request the connection's task may not have begun to wait; after an
            # answer it may still read the rest of a body.
            return self._request_count == 0
        return not self._waiter.done()

    def _wait_for_head(self) -> None:
        if self._head_timer is None and self._head_seconds:
            self._head_timer = self._loop.call_later(self._head_seconds, self._head_is_late)

    def _head_came(self) -> None:
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _head_is_late(self) -> None:
        self._head_timer = None
        _log.info("A connection was closed: no whole request head in %g s", self._head_seconds)
        self.force_close()

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Write a traceback of what nobody expected, which a want of memory is not."""
        if not self._refuses_rest:
            super().log_exception(*args, **kwargs)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Refuse as JSON. Raises `ConnectionError` where an answer has begun already.

        The message is looked at and not repeated: it has the client's bytes.
        """
        assert isinstance(request, web.Request)
        error = _to_error(status, exc, message or "")
        if self._unparsed_version and isinstance(error, BadRequest):
            error = HttpVersionNotSupported("The request is in another version of HTTP.")
        if status < 500:
            # No request was made of the bytes, so nobody has accounted for them.
            if self._unparsed_id:
                request_context.adopt_id(request, self._unparsed_id)
            context = _rejected(self._app, request, error)
        else:
            context = RequestContext.of(request)
        _log.info(
            "A request could not be read: %s (request %s)",
            type(exc).__name__,
            context.record.request_id,
        )
        if request.writer.output_size > 0:
            raise ConnectionError("There is an answer already.")
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
    return BadRequest("This is no HTTP request that can be understood.")
