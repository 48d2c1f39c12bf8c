"""A body that bypassed the HTTP client's parser, delivered by reads or by callbacks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from proxy.http.chunked_decoder import ChunkedDecoder

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import SluiceError

HELD_BYTES = 64 * 1024
"""Unrequested bytes of a body that are buffered; beyond it reading pauses."""


class Receiver(Protocol):
    """Receives a body's bytes in the callback that reads them."""

    def received(self, data: bytes, chunk: bytes = b"") -> None:
        """Handle body bytes, and the whole chunk that they arrived in, if they did."""

    def ended(self, error: SluiceError | None) -> None:
        """Handle the body's clean end, or the error that cut it; it is the last call."""


class BypassedConnection(Protocol):
    """The connection's protocol, which the body replaces until its end."""

    held: list[bytes] | None
    """Raw body bytes that bypass the parser."""
    lost: Exception | None

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection's transport; None after it is lost."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""

    def body_ended(self, *, reusable: bool) -> None:
        """End the body; `reusable` says whether the connection may serve another request."""


class RawBody(asyncio.Protocol):
    """A body that bypasses the parser, with a pull (`read`) and a push (`flow`) interface."""

    def __init__(
        self, protocol: BypassedConnection, on_end: Callable[[Exception | None], SluiceError | None]
    ) -> None:
        """Take `on_end`, which is called once with the error or None, and returns it mapped."""
        assert protocol.held is not None
        self._protocol = protocol
        self._on_end: Callable[[Exception | None], SluiceError | None] | None = on_end
        self._transport = protocol.transport
        self._lost = protocol.lost
        self._chunks = ChunkedDecoder()
        self._pending, protocol.held = protocol.held, []
        """Raw bytes that have not been read."""
        self._receiver: Receiver | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._over = False
        self._error: SluiceError | None = None
        if self._transport is not None:
            self._transport.set_protocol(self)

    async def read(self) -> bytes:
        """Return the next body bytes; empty at the clean end. Raises `UpstreamCut`."""
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
        """Deliver everything to the receiver from here on, buffered bytes first."""
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
        """Pause reading."""
        if self._transport is not None and not self._over:
            self._transport.pause_reading()

    def resume(self) -> None:
        """Resume reading."""
        if self._transport is not None and not self._over:
            self._transport.resume_reading()

    def stop(self) -> None:
        """Stop delivering; further bytes are buffered for `read`."""
        self._receiver = None

    def data_received(self, data: bytes) -> None:
        """Handle raw bytes of the connection."""
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
        """End the body with the connection."""
        self._transport = None
        self._lost = exc or ConnectionResetError()
        self._protocol.connection_lost(exc)
        self._wake()
        if self._receiver is not None and not self._over:
            self._end(self._lost)
            self._receiver.ended(self._error)

    def eof_received(self) -> None:
        """Pass on the end of the upstream's data; `connection_lost` follows."""
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        """Pass on to the handler, which may still be sending the request."""
        self._protocol.pause_writing()

    def resume_writing(self) -> None:
        """See `pause_writing`."""
        self._protocol.resume_writing()

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
        """Return the connection to the handler, for reuse if no bytes follow the body."""
        if self._transport is not None:
            self._transport.set_protocol(cast("asyncio.Protocol", self._protocol))
            self._transport.resume_reading()
            self._protocol.body_ended(reusable=not self._chunks.rest)

    def _end(self, error: Exception | None) -> None:
        self._over = True
        # Its owner refers to this body: if both kept each other, only the garbage collector would
        # free them.
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            self._error = on_end(error)

    def _keep(self, data: bytes) -> None:
        self._pending.append(data)
        self._wake()
        if sum(map(len, self._pending)) > HELD_BYTES:
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
