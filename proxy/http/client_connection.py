"""A client's connection: bounds request heads, counts pipelined requests, survives full memory.

aiohttp documents no way to do any of it; its `RequestHandler` is extended here. What Sluice answers
is decided by the subclasses.
"""

from __future__ import annotations

import asyncio
from collections import deque
from itertools import islice

import structlog
from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage
from aiohttp.web_protocol import RequestHandler

LARGEST_HEAD_BYTES = 128 * 1024
_LINGER_SECONDS = 5.0
"""How long the rest of a refused body is read: a client blocked in sending may not read."""
_NOTHING = memoryview(b"")

_log = structlog.get_logger()


class ClientConnection(RequestHandler):
    """aiohttp's server protocol, with a time limit for heads and a way out of full memory."""

    __slots__ = (
        "_body",
        "_head_bytes",
        "_head_seconds",
        "_head_timer",
        "_refuses_rest",
        "_unserved",
    )

    def __init__(self, manager: web.Server, head_seconds: float | None, **kwargs: object) -> None:
        """Take the time for a whole head, None if unlimited; `kwargs` are `RequestHandler`'s."""
        super().__init__(manager, **kwargs)  # type: ignore[arg-type] # passed through
        self._head_seconds = head_seconds
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._refuses_rest = False
        self._unserved: deque[RawRequestMessage] = deque()
        self._body: StreamReader | None = None
        """The body of the last request whose head was parsed, whether or not it is being served."""

    def left_unserved(self, message: RawRequestMessage) -> None:
        """Handle a request whose client disconnected while it waited behind another one."""

    def received_malformed(self, data: bytes) -> None:
        """Handle received bytes that are not a request; `handle_error` follows."""

    def refusal_of_unread(self, lost: memoryview) -> bytes:
        """Return the raw response to a request whose bytes could not be kept: those in `lost`."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time limit for the first head."""
        super().connection_made(transport)
        self._wait_for_head()

    def connection_lost(self, exc: BaseException | None) -> None:
        """Stop the time limit; report pipelined requests that the client left unserved."""
        self._head_complete()
        # If the worker closed the connection, its handler task has already ended.
        left_by_client = self._task_handler is not None and not self._task_handler.done()
        super().connection_lost(exc)
        self._body = None  # It refers to this connection.
        unserved, self._unserved = self._unserved, deque()
        if left_by_client:
            for message in unserved:
                self.left_unserved(message)

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
            self.received_malformed(data)
        if self._current_request is not None or not self._inside_head():
            self._head_complete()
        elif data:
            self._head_bytes += len(data)
            self._wait_for_head()
            if self._head_bytes > LARGEST_HEAD_BYTES:
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
                self.transport.write(self.refusal_of_unread(lost))
            self.force_close()

    def force_close(self) -> None:
        """Close; if a body was refused, only after the client has had time to read the response."""
        if self._refuses_rest and self.transport is not None:
            transport, self.transport = self.transport, None
            self._loop.call_later(_LINGER_SECONDS, transport.close)
        super().force_close()

    def log_exception(self, *args: object, **kwargs: object) -> None:
        """Log a traceback, unless the cause is exhausted memory."""
        if not self._refuses_rest:
            super().log_exception(*args, **kwargs)

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
        _log.info("head_timeout", seconds=self._head_seconds)
        self.force_close()


def refuse_rest(request: web.BaseRequest, error: MemoryError) -> None:
    """Discard the rest of a body for which there is no memory.

    aiohttp would continue to read it after the response, fail for want of memory, and disconnect
    before the client has read the response.
    """
    connection = request.protocol
    if isinstance(connection, ClientConnection) and not request.content.is_eof():
        connection.out_of_memory(error)
