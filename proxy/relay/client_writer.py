"""The client's side of a running answer: bytes leave at once, and the buffer stays small."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

BUFFERED_BYTES = 32 * 1024
"""What may wait in the worker for one client; above it the upstream is not read on."""


class Writer(Protocol):
    """What `aiohttp.abc.AbstractStreamWriter` offers that is needed here."""

    async def drain(self) -> None:
        """Wait until the buffer has gone down; raises `ConnectionError` if the client has."""


class ClientWriter:
    """Writes one answer's body, framed as its headers said (RFC 9112, 7.1), with no task woken."""

    __slots__ = (
        "_caught_up_at",
        "_chunked",
        "_congested",
        "_transport",
        "_writer",
        "began_at",
        "left",
        "sent",
        "wire_bytes",
        "written_at",
    )

    def __init__(
        self,
        transport: asyncio.Transport,
        writer: Writer,
        *,
        chunked: bool,
        now: float,
        sent: int = 0,
    ) -> None:
        """`sent`: bytes of body that have left already, with the head."""
        self._transport = transport
        self._writer = writer
        self._chunked = chunked
        self.sent = sent
        """Bytes of body handed over so far."""
        self.wire_bytes = sent
        """The same with the framing."""
        self.began_at: float | None = None
        """When the upstream's first bytes had been handed over."""
        self.written_at = now
        self._congested = False
        self._caught_up_at = now
        self.left = False
        transport.set_write_buffer_limits(high=BUFFERED_BYTES)

    @classmethod
    def gone(cls, now: float) -> ClientWriter:
        """A client that left before its answer began: what is written for it is dropped."""
        client = cls(_Nowhere(), _Nowhere(), chunked=False, now=now)
        client.left = True
        return client

    @property
    def congested_until(self) -> float:
        """Until when the upstream was last kept waiting for this client."""
        return time.monotonic() if self._congested else self._caught_up_at

    @property
    def waiting(self) -> int:
        """Bytes that the client has not taken."""
        return 0 if self.left else self._transport.get_write_buffer_size()

    def write(self, data: bytes, now: float, chunk: bytes = b"") -> None:
        """Send the bytes, if there are any and there is still somebody to send them to.

        `chunk` is the same bytes as one chunk of chunked coding, where they came in one.
        """
        if not data or self.left or self._transport.is_closing():
            return
        framed = data
        if self._chunked:
            framed = chunk or b"%x\r\n%b\r\n" % (len(data), data)
        self._transport.write(framed)
        self.sent += len(data)
        self.wire_bytes += len(framed)
        self.written_at = now

    def is_congested(self) -> bool:
        """Whether the upstream must not be read on."""
        return not self.left and self._transport.get_write_buffer_size() > BUFFERED_BYTES

    async def drain(self) -> None:
        """Wait until the client has taken most of what waits, or has left."""
        self._congested = True
        try:
            await self._writer.drain()
        except ConnectionError:
            self.left = True
        finally:
            self._congested = False
            self._caught_up_at = time.monotonic()

    async def flush(self, seconds: float) -> bool:
        """Wait until all of it has gone to the kernel, for so long at most; whether it has."""
        if not self.waiting:
            return True
        # Below this the transport says that it can be written to again: when nothing waits.
        self._transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.drain()
        return not self.waiting


class _Nowhere(asyncio.Transport):
    """Stands in for a transport that is no more."""

    def is_closing(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    async def drain(self) -> None:
        """There is nothing to wait for."""
