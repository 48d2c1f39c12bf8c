"""A body that was taken past the HTTP client's parser, by reads or by callback."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Protocol, cast

from proxy.http.chunks import Chunks

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import SluiceError

HELD_BYTES = 64 * 1024
"""What is held of a body that nobody asks for; beyond it the connection is not read on."""


class Receiver(Protocol):
    """Who takes a body's bytes in the very callback in which they come."""

    def received(self, data: bytes, chunk: bytes = b"") -> None:
        """Body bytes without their coding, and the one whole chunk in which they came, if so."""

    def ended(self, error: SluiceError | None) -> None:
        """The body's clean end, or the error that cut it; nothing comes after."""


class BypassedConnection(Protocol):
    """The connection's own protocol, which the body stands in for until its end."""

    held: list[bytes] | None
    """Raw body bytes that were kept from the parser."""
    lost: Exception | None

    @property
    def transport(self) -> asyncio.Transport | None:
        """The connection; None once it is lost."""

    def connection_lost(self, exc: BaseException | None) -> None:
        """See `asyncio.Protocol`."""

    def eof_received(self) -> None:
        """See `asyncio.Protocol`."""

    def pause_writing(self) -> None:
        """See `asyncio.Protocol`."""

    def resume_writing(self) -> None:
        """See `asyncio.Protocol`."""

    def body_ended(self, *, reusable: bool) -> None:
        """The body is over: the connection may serve the next request, or not."""


class RawBody(asyncio.Protocol):
    """A body past the parser: read by whoever waits for it, or handed to a receiver as it comes."""

    def __init__(
        self, protocol: BypassedConnection, on_end: Callable[[Exception | None], SluiceError | None]
    ) -> None:
        """`on_end` is called once, with what went wrong or None, and gives Sluice's name for it."""
        assert protocol.held is not None
        self._protocol = protocol
        self._on_end = on_end
        self._transport = protocol.transport
        self._lost = protocol.lost
        self._chunks = Chunks()
        self._pending, protocol.held = protocol.held, []
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
        self._protocol.connection_lost(exc)
        self._wake()
        if self._receiver is not None and not self._over:
            self._end(self._lost)
            self._receiver.ended(self._error)

    def eof_received(self) -> None:
        """The upstream sends no more; the loss of the connection follows."""
        self._protocol.eof_received()

    def pause_writing(self) -> None:
        """The request may still be on its way: its sender is the handler's business."""
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
        """The connection is the handler's again, for the next request if nothing is left over."""
        if self._transport is not None:
            self._transport.set_protocol(cast("asyncio.Protocol", self._protocol))
            self._transport.resume_reading()
            self._protocol.body_ended(reusable=not self._chunks.rest)

    def _end(self, error: Exception | None) -> None:
        self._over = True
        self._error = self._on_end(error)

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
