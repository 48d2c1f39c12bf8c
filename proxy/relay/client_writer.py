"""Writes a response's body to the client at once, with a small buffer and flow control."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Protocol

BUFFERED_BYTES = 32 * 1024
"""Bytes buffered per client; above it reading from the upstream pauses."""


class Writer(Protocol):
    """The part of `aiohttp.abc.AbstractStreamWriter` that is used here."""

    async def drain(self) -> None:
        """Wait until the buffer is low; raises `ConnectionError` if the client has left."""


class ClientWriter:
    """Writes one response's body with its framing (RFC 9112, 7.1), without waking a task."""

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
        """Take as `sent` the bytes of the body that were sent with the head."""
        self._transport = transport
        self._writer = writer
        self._chunked = chunked
        self.sent = sent
        """Bytes of the body written so far."""
        self.wire_bytes = sent
        """Bytes written so far, including the framing."""
        self.began_at: float | None = None
        """When the upstream's first bytes were written."""
        self.written_at = now
        self._congested = False
        self._caught_up_at = now
        self.left = False
        transport.set_write_buffer_limits(high=BUFFERED_BYTES)

    @classmethod
    def gone(cls, now: float) -> ClientWriter:
        """Return the writer of a client that has left; writes are dropped."""
        client = cls(_Nowhere(), _Nowhere(), chunked=False, now=now)
        client.left = True
        return client

    @property
    def congested_until(self) -> float:
        """When this client last stopped congesting; now, if it still does."""
        return time.monotonic() if self._congested else self._caught_up_at

    @property
    def waiting(self) -> int:
        """Bytes in the write buffer."""
        return 0 if self.left else self._transport.get_write_buffer_size()

    def write(self, data: bytes, now: float, chunk: bytes = b"") -> None:
        """Write the bytes, unless the client has left.

        `chunk` is the same bytes as a chunk of chunked coding, if they arrived as one.
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
        """Whether reading from the upstream must pause."""
        return not self.left and self._transport.get_write_buffer_size() > BUFFERED_BYTES

    async def drain(self) -> None:
        """Wait until most of the buffer is sent, or the client has left."""
        self._congested = True
        try:
            await self._writer.drain()
        except ConnectionError:
            self.left = True
        finally:
            self._congested = False
            self._caught_up_at = time.monotonic()

    async def flush(self, seconds: float) -> bool:
        """Wait until the buffer is empty, at most `seconds`. Return whether it is."""
        if not self.waiting:
            return True
        # With a limit of 0, `drain` returns only when the buffer is empty.
        self._transport.set_write_buffer_limits(high=0)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self.drain()
        return not self.waiting


class _Nowhere(asyncio.Transport):
    """Stands in for a closed transport."""

    def is_closing(self) -> bool:
        return True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Do nothing: there is no buffer."""

    async def drain(self) -> None:
        """Return at once: there is no buffer."""
