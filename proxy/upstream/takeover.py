"""Takes the body of a chunked event stream past the HTTP client's parser.

A token costs a gateway mostly wake-ups: of a parser's callback, of a future, of a task. Here the
head of an answer goes through aiohttp's parser as always; if the body is an event stream in chunked
coding, its bytes go straight from the connection to whoever relays them. The parser is told of the
end when it has come, so that the connection goes back to the pool like any other.

Only this file knows how aiohttp's client protocol is made; `SLUICE_FAST_PATH=false` leaves it out.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from aiohttp import ClientResponse
from aiohttp.client_proto import ResponseHandler

from proxy.errors import SluiceError
from proxy.upstream.chunks import Chunks

_HEAD_BEGINS = b"HTTP/1."
_HEAD_END = re.compile(rb"\r?\n\r?\n")
"""RFC 9112, 2.2: a line may end without its CR."""
_LONGEST_HEAD = 256 * 1024
_HELD_BYTES = 64 * 1024
_INTERIM = re.compile(rb"HTTP/1\.[01] 1(?!01)\d\d")
"""RFC 9110, 15.2.2: no other answer follows a 101."""
_TAKEN = re.compile(rb"HTTP/1\.1 2(?!04)\d\d")
"""RFC 9112, 6.3: after a 204, as after HEAD, no body follows, whatever the head says."""
_FIELD = re.compile(
    rb"\r\n(content-type|content-encoding|transfer-encoding|content-length):([^\r]*)"
)
_LAST_CHUNK = b"0\r\n\r\n"


class Receiver(Protocol):
    """Who takes a body's bytes in the very callback in which they come."""

    def received(self, data: bytes, chunk: bytes = b"") -> None:
        """Body bytes without their coding, and the one whole chunk in which they came, if so."""

    def ended(self, error: SluiceError | None) -> None:
        """The body's clean end, or the error that cut it; nothing comes after."""


class StreamHandler(ResponseHandler):
    """aiohttp's protocol of one connection, which looks at each head before its body passes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head: bytearray | None = None
        """The answer's head as far as it has come; None once it is whole."""
        self.held: list[bytes] | None = None
        """Raw body bytes kept from the parser; None where the body is the parser's."""
        self.lost: Exception | None = None

    def set_response_params(self, **params: Any) -> None:
        """A request is about to be sent: the next bytes are its answer's head."""
        self._head = bytearray()
        self.held = None
        super().set_response_params(**params)

    def data_received(self, data: bytes) -> None:
        """Give the parser heads, and bodies that are its business."""
        if self.held is not None:
            self._hold(data)
        elif self._head is None or not data:
            super().data_received(data)
        else:
            self._look(data)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The connection is gone; whoever takes the body over later must learn why."""
        self.lost = exc if isinstance(exc, Exception) else ConnectionResetError()
        if self._head:
            # Half a head, or none: the parser knows what to call it.
            head, self._head = bytes(self._head), None
            super().data_received(head)
        super().connection_lost(exc)

    def body_ended(self, *, reusable: bool) -> None:
        """Tell the parser that the body which it never saw is over."""
        self.held = None
        if not reusable:
            self.force_close()
        super().data_received(_LAST_CHUNK)

    def _look(self, data: bytes) -> None:
        head = self._head
        assert head is not None
        head += data
        found = _HEAD_END.search(head)
        if found is None:
            if len(head) > _LONGEST_HEAD or not head.startswith(_HEAD_BEGINS[: len(head)]):
                # The parser knows what to call it, and need not wait for more of it.
                self._head = None
                super().data_received(bytes(head))
            return
        first, rest = bytes(head[: found.end()]), bytes(head[found.end() :])
        interim = _INTERIM.match(first) is not None
        self._head = bytearray() if interim else None
        takes = not (interim or self._skip_payload) and _is_chunked_event_stream(first)
        if takes:
            self.held = [rest] if rest else []
        super().data_received(first)
        if rest and not takes:
            self.data_received(rest)

    def _hold(self, data: bytes) -> None:
        assert self.held is not None
        self.held.append(data)
        if sum(map(len, self.held)) > _HELD_BYTES and self.transport is not None:
            self.transport.pause_reading()


def _is_chunked_event_stream(head: bytes) -> bool:
    """Whether the body needs no more than its chunks taken apart."""
    if not _TAKEN.match(head):
        return False
    fields = dict.fromkeys((b"content-type", b"content-encoding", b"transfer-encoding"), b"")
    for name, value in _FIELD.findall(head.lower()):
        if name not in fields or fields[name]:
            return False
        # A tab is white space too, but not to the parser, which must be of the same mind.
        fields[name] = value.strip(b" ")
    return (
        fields[b"content-type"].partition(b";")[0].strip() == b"text/event-stream"
        and fields[b"transfer-encoding"] == b"chunked"
        and fields[b"content-encoding"] in {b"", b"identity"}
    )


class RawBody(asyncio.Protocol):
    """A body taken over: read by whoever waits for it, or handed to a receiver as it comes."""

    def __init__(
        self, handler: StreamHandler, on_end: Callable[[Exception | None], SluiceError | None]
    ) -> None:
        """`on_end` is called once, with what went wrong or None, and gives Sluice's name for it."""
        assert handler.held is not None
        self._handler = handler
        self._on_end = on_end
        self._transport = handler.transport
        self._lost = handler.lost
        self._chunks = Chunks()
        self._pending, handler.held = handler.held, []
        """Raw bytes that nobody has asked for yet."""
        self._receiver: Receiver | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._error: SluiceError | None = None
        if self._transport is not None:
            self._transport.set_protocol(self)

    async def read(self) -> bytes:
        """Body bytes as soon as there are any; empty at the clean end. Raises `UpstreamCut`."""
        while not self._over:
            if self._pending:
                raw, self._pending = b"".join(self._pending), []
                if body := self._take(raw):
                    return body
            elif self._lost is not None:
                self._end(self._lost)
            else:
                await self._more()
        if self._error is not None:
            raise self._error
        return b""

    def flow(self, receiver: Receiver) -> None:
        """Hand everything from here on to the receiver, what has come already first."""
        self._receiver = receiver
        if self._pending:
            raw, self._pending = b"".join(self._pending), []
            self.data_received(raw)
        if self._lost is not None and not self._over:
            self._end(self._lost)
        if self._over:
            receiver.ended(self._error)
        self.resume()

    def pause(self) -> None:
        """Read no further: the receiver has enough for now."""
        if self._transport is not None and not self._over:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self._transport is not None and not self._over:
            self._transport.resume_reading()

    def stop(self) -> None:
        """The receiver wants no more; what still comes is kept for a reader."""
        self._receiver = None

    def data_received(self, data: bytes) -> None:
        """Raw bytes from the connection."""
        receiver = self._receiver
        if receiver is None:
            self._keep(data)
            return
        body = self._chunks.single(data)
        if body is not None:
            receiver.received(body, data)
            return
        if body := self._take(data):
            receiver.received(body)
        if self._over:
            receiver.ended(self._error)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, and the body with it."""
        self._transport = None
        self._lost = exc or ConnectionResetError()
        self._handler.connection_lost(exc)
        self._wake()
        if self._receiver is not None and not self._over:
            self._end(self._lost)
            self._receiver.ended(self._error)

    def eof_received(self) -> None:
        """The upstream sends no more; the loss of the connection follows."""
        self._handler.eof_received()

    def pause_writing(self) -> None:
        """The request may still be on its way: its sender is the handler's business."""
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        """See `pause_writing`."""
        self._handler.resume_writing()

    def _take(self, raw: bytes) -> bytes:
        body = self._chunks.feed(raw)
        if self._chunks.broken is not None:
            self._end(self._chunks.broken)
            if self._transport is not None:
                self._transport.abort()
        elif self._chunks.ended:
            self._give_back()
            self._end(None)
        return body

    def _give_back(self) -> None:
        """The connection is the handler's again, for the next request if nothing is left over."""
        if self._transport is not None:
            self._transport.set_protocol(self._handler)
            self._transport.resume_reading()
            self._handler.body_ended(reusable=not self._chunks.rest)

    def _end(self, error: Exception | None) -> None:
        self._over = True
        self._error = self._on_end(error)

    def _keep(self, data: bytes) -> None:
        self._pending.append(data)
        self._wake()
        if sum(map(len, self._pending)) > _HELD_BYTES:
            self.pause()

    async def _more(self) -> None:
        self.resume()
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def taken_over(
    response: ClientResponse, on_end: Callable[[Exception | None], SluiceError | None]
) -> RawBody | None:
    """The response's body, if it was kept from the parser; else None."""
    connection = response.connection
    handler = None if connection is None else connection.protocol
    if not isinstance(handler, StreamHandler) or handler.held is None:
        return None
    return RawBody(handler, on_end)


def factory(loop: asyncio.AbstractEventLoop) -> partial[ResponseHandler]:
    """What a connector makes its connections' protocols with."""
    made: type[ResponseHandler] = StreamHandler
    return partial(made, loop)
