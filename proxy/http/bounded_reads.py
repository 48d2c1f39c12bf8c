"""Reads that a want of memory does not end: bytes go into a buffer that was there before.

For a plain protocol the loop makes a new object of every read, and closes the connection without a
word where it cannot; a `BufferedProtocol` (asyncio's documentation, "Buffered Streaming Protocols")
is asked for the buffer, so that the failure comes to whoever can answer for it.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_READ_BYTES = 64 * 1024


class Reader(Protocol):
    """A plain protocol that can be told that there is no memory for what came."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`, as for all but `out_of_memory`."""

    def data_received(self, data: bytes) -> None:
        """Bytes have come."""

    def out_of_memory(self, error: MemoryError, lost: memoryview) -> None:
        """Bytes have come and are lost; `lost` can be read until this returns."""

    def eof_received(self) -> bool | None:
        """The peer sends no more."""

    def pause_writing(self) -> None:
        """The peer does not read."""

    def resume_writing(self) -> None:
        """The peer reads again."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is over."""


class BoundedReads(asyncio.BufferedProtocol):
    """Passes a connection's events on to its reader."""

    # One buffer for all: what is in it is copied before the loop reads again.
    _buffer = bytearray(_READ_BYTES)
    _view = memoryview(_buffer)

    def __init__(self, reader: Reader) -> None:
        self.reader = reader
        self.connection_made = reader.connection_made  # type: ignore[method-assign]
        self.eof_received = reader.eof_received  # type: ignore[method-assign]
        self.pause_writing = reader.pause_writing  # type: ignore[method-assign]
        self.resume_writing = reader.resume_writing  # type: ignore[method-assign]
        self.connection_lost = reader.connection_lost  # type: ignore[method-assign]

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 asyncio's own signature
        """Where the loop reads to."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """So many bytes were read."""
        came = self._view[:nbytes]
        try:
            data = bytes(came)
        except MemoryError as error:
            self.reader.out_of_memory(error, came)
            return
        self.reader.data_received(data)
