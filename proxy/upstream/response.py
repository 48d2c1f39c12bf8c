"""An upstream's response: its head, and its body as a stream."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, Self

from aiohttp import ClientPayloadError

from proxy.errors import SluiceError
from proxy.http.aiohttp_client_internals import unread_bytes
from proxy.http.decompress import Decompressor, can_decompress
from proxy.http.parser_bypass import bypassed_body
from proxy.http.raw_body import RawBody
from proxy.upstream.error_map import CLIENT_ERRORS, map_body_error
from proxy.upstream.headers import response_headers

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aiohttp import ClientResponse
    from multidict import CIMultiDict, MultiMapping

_BODILESS = frozenset({204, 304})


class UpstreamResponse(Protocol):
    """An upstream's response; its holder closes it, as a context manager or by `close`."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    """The headers for the client; an event stream's without length and coding."""
    upstream: str
    """The upstream's name."""
    is_event_stream: bool
    """Whether the body is an event stream, decompressed if necessary."""
    ended_by_close: bool
    """Whether the body is delimited by the connection's close only."""
    first: bytes
    """Body bytes that were read already; `read` continues after them."""
    source: RawBody | None
    """The body as callbacks, if supported; use either this or `read`."""

    async def read(self) -> bytes:
        """Return the next body bytes; empty at the clean end.

        Raises `UpstreamCut` after all received bytes if the body is cut.
        """

    def close(self) -> None:
        """Release the response; before its end, abort the upstream's connection."""

    def __enter__(self) -> Self:
        """Return the response."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the response."""


class StreamingResponse:
    """A response on an open connection."""

    __slots__ = (
        "_client_response",
        "_content",
        "_decompressor",
        "_ended",
        "_failure",
        "_on_end",
        "_watcher",
        "ended_by_close",
        "first",
        "headers",
        "is_event_stream",
        "reason",
        "source",
        "status",
        "upstream",
    )

    def __init__(self, client_response: ClientResponse, upstream: str) -> None:
        self._client_response = client_response
        self._content = client_response.content
        self._ended = False
        self._failure: SluiceError | None = None
        self._on_end: Callable[[SluiceError | None], None] | None = None
        self.upstream = upstream
        self.status = client_response.status
        self.reason = client_response.reason or ""
        self.first = b""
        coding = client_response.headers.get("Content-Encoding", "identity").strip().lower()
        events = _mime_type(client_response.headers) == "text/event-stream"
        self._decompressor = Decompressor(coding) if events and can_decompress(coding) else None
        self.is_event_stream = events and (self._decompressor is not None or coding == "identity")
        self.headers = response_headers(client_response.headers, rewritten=self.is_event_stream)
        self.ended_by_close = _ended_by_close(client_response)
        self.source = bypassed_body(client_response, self._source_ended)
        self._watcher = _ConnectionWatcher(client_response)

    def when_ended(self, callback: Callable[[SluiceError | None], None]) -> None:
        """Call back once at the end, with the error that cut the response, or None.

        A short response may have ended already.
        """
        if self._ended:
            callback(self._failure)
        else:
            self._on_end = callback

    def take_first(self) -> None:
        """Set `first` to the body bytes received with the head, so that they share one write.

        For bodies that are relayed unchanged.
        """
        if self._content.exception() is None:
            self.first = self._content.read_nowait()

    async def read(self) -> bytes:
        """Return the next body bytes; see `UpstreamResponse.read`."""
        if self._failure is not None:
            raise self._failure
        if self.source is not None:
            return await self.source.read()
        while True:
            data = await self._received()
            if not data or self._decompressor is None:
                return data
            try:
                data = self._decompressor.feed(data)
            except ValueError as error:
                raise self._cut(error) from error
            if data:
                return data

    async def _received(self) -> bytes:
        """Return raw body bytes; empty at the clean end."""
        try:
            data = await self._content.readany()
        except (*CLIENT_ERRORS, RuntimeError) as error:  # RuntimeError: read after the loss
            data = self._left_over()
            if not data:
                raise self._cut(error) from error
        if not data:
            if self.ended_by_close and self._watcher.reset():
                raise self._cut(ConnectionResetError())
            self._end(None)
        return data

    def close(self) -> None:
        """Release the response; see `UpstreamResponse.close`."""
        connection = self._client_response.connection
        try:
            if connection is not None and connection.transport is not None:
                # `close` would wait until a request body is sent that the upstream does not read.
                connection.transport.abort()
            self._client_response.close()
        finally:
            self._end(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _source_ended(self, error: Exception | None) -> SluiceError | None:
        if error is not None:
            return self._cut(error)
        self._end(None)
        return None

    def _left_over(self) -> bytes:
        """Return bytes received before the failure, which aiohttp would discard."""
        return unread_bytes(self._content)

    def _cut(self, error: BaseException) -> SluiceError:
        mapped = map_body_error(error, self.upstream)
        self._end(mapped)
        return mapped

    def _end(self, error: SluiceError | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._failure = error
        try:
            self._watcher.stop()
        finally:
            on_end, self._on_end = self._on_end, None
            if on_end is not None:
                on_end(error)


class _ConnectionWatcher:
    """Reports a lost connection to a body's reader where aiohttp does not.

    After an invalid chunk aiohttp closes the connection, but the reader would wait forever; and a
    reset would end a body without a length cleanly.
    """

    __slots__ = ("_closed", "_content")

    def __init__(self, client_response: ClientResponse) -> None:
        self._content = client_response.content
        connection = client_response.connection
        protocol = None if connection is None else connection.protocol
        self._closed = None if protocol is None else protocol.closed
        if self._closed is not None:
            self._closed.add_done_callback(self._gone)

    def _gone(self, closed: asyncio.Future[None]) -> None:
        closed.exception()  # Mark it as retrieved; the content reports the error.
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(ClientPayloadError("The body is no valid HTTP."))

    def reset(self) -> bool:
        """Whether the connection was lost by an error instead of an orderly close."""
        closed = self._closed
        return closed is not None and closed.done() and closed.exception() is not None

    def stop(self) -> None:
        """Stop watching: the connection may be reused."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._gone)
            # Retrieve its exception if it is lost while idle.
            self._closed.remove_done_callback(_seen)
            self._closed.add_done_callback(_seen)


def _seen(closed: asyncio.Future[None]) -> None:
    closed.exception()


def _mime_type(headers: MultiMapping[str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _ended_by_close(client_response: ClientResponse) -> bool:
    """Whether the connection's close ends the body: neither length nor chunks (RFC 9112, 6.3)."""
    if client_response.method == "HEAD" or client_response.status in _BODILESS:
        return False
    headers = client_response.headers
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return not chunked and "Content-Length" not in headers
