"""Reads into a preallocated buffer, so that exhausted memory can be answered with an error.

For a plain protocol the event loop allocates an object per read, and closes the connection silently
if it cannot. A `BufferedProtocol` (asyncio's documentation, "Buffered Streaming Protocols")
provides the buffer, so that the allocation, and its failure, happens here.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

_READ_BYTES = 64 * 1024


class Reader(Protocol):
    """A plain protocol that handles exhausted memory."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`; all methods but `out_of_memory` are its."""

    def data_received(self, data: bytes) -> None:
        """Handle received bytes."""

    def out_of_memory(self, error: MemoryError, lost: memoryview) -> None:
        """Handle received bytes that cannot be copied; `lost` is valid until this returns."""

    def eof_received(self) -> bool | None:
        """Handle the end of the peer's data."""

    def pause_writing(self) -> None:
        """Pause writing: the peer does not read."""

    def resume_writing(self) -> None:
        """Resume writing: the peer reads again."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the loss of the connection."""


class BoundedReads(asyncio.BufferedProtocol):
    """Passes a connection's events to its reader."""

    # One buffer for all connections: its content is copied before the next read.
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
        """Return the shared buffer."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Copy the received bytes and pass them on."""
        received = self._view[:nbytes]
        try:
            data = bytes(received)
        except MemoryError as error:
            self.reader.out_of_memory(error, received)
            return
        self.reader.data_received(data)
