"""What an upstream answers: the head at once, the body as it comes."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, Self

from aiohttp import ClientPayloadError

from proxy.errors import SluiceError
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
    """An upstream's answer, to be closed by whoever holds it; `with answer:` does."""

    status: int
    reason: str
    headers: CIMultiDict[str]
    """As they may go to the client; an event stream's without length and coding."""
    upstream: str
    """Name of the upstream."""
    is_event_stream: bool
    """Whether the body is server-sent events in the clear."""
    ended_by_close: bool
    """The body has no length and no last chunk: only the connection's close ends it."""
    first: bytes
    """Body bytes that were read already; `read` goes on after them."""
    source: RawBody | None
    """The body again, where it can be had by callback as well; use one way or the other."""

    async def read(self) -> bytes:
        """Body bytes as soon as there are any; empty at the clean end.

        Raises `UpstreamCut` when the answer stops before its end, after all bytes that came.
        """

    def close(self) -> None:
        """Let the answer go; before its end that closes the upstream's connection at once."""

    def __enter__(self) -> Self:
        """Hold the answer for a block."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close it."""


class StreamingResponse:
    """An answer on an open connection."""

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

    def when_ended(self, told: Callable[[SluiceError | None], None]) -> None:
        """Have it told once: the error that cut the answer, or None if it ended or was let go.

        An answer may have ended already: a short one ends with its first bytes.
        """
        if self._ended:
            told(self._failure)
        else:
            self._on_end = told

    def take_first(self) -> None:
        """Have as `first` what came with the head: in one read, so that it can leave in one write.

        For bodies that go on as they came.
        """
        if self._content.exception() is None:
            self.first = self._content.read_nowait()

    async def read(self) -> bytes:
        """Body bytes as soon as there are any; see `UpstreamResponse.read`."""
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
        """Body bytes as they came over the wire; empty at the clean end."""
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
        """Let the answer go; see `UpstreamResponse.close`."""
        connection = self._client_response.connection
        try:
            if connection is not None and connection.transport is not None:
                # A plain close would first wait for a body that the upstream does not take.
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
        """Bytes that came before the failure: aiohttp would raise and leave them unread."""
        content = self._content
        return content._read_nowait(-1) if content._buffer else b""  # noqa: SLF001 no public way

    def _cut(self, error: BaseException) -> SluiceError:
        own = map_body_error(error, self.upstream)
        self._end(own)
        return own

    def _end(self, error: SluiceError | None) -> None:
        if self._ended:
            return
        self._ended = True
        self._failure = error
        try:
            self._watcher.stop()
        finally:
            if self._on_end is not None:
                self._on_end(error)


class _ConnectionWatcher:
    """Tells a body's reader what became of its connection where aiohttp does not.

    After a broken chunk the connection is closed but the reader would wait for ever, and a body
    without a length would end cleanly by a reset.
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
        closed.exception()  # Marks it as seen: it is not news, the content tells it.
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(ClientPayloadError("The body is no valid HTTP."))

    def reset(self) -> bool:
        """Whether the connection was lost other than by an orderly close."""
        closed = self._closed
        return closed is not None and closed.done() and closed.exception() is not None

    def stop(self) -> None:
        """Watch no longer: the connection may serve another answer."""
        if self._closed is not None:
            self._closed.remove_done_callback(self._gone)
            # It may be lost while it waits for the next call, which is news to nobody.
            self._closed.remove_done_callback(_seen)
            self._closed.add_done_callback(_seen)


def _seen(closed: asyncio.Future[None]) -> None:
    closed.exception()


def _mime_type(headers: MultiMapping[str]) -> str:
    return headers.get("Content-Type", "").partition(";")[0].strip().lower()


def _ended_by_close(client_response: ClientResponse) -> bool:
    """RFC 9112, 6.3: no length and no chunks, so the close of the connection ends the body."""
    if client_response.method == "HEAD" or client_response.status in _BODILESS:
        return False
    headers = client_response.headers
    chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
    return not chunked and "Content-Length" not in headers
