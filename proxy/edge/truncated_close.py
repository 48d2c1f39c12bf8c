"""Closes a connection so that the client sees a truncated response, after reading all of it.

A chunked body is truncated by closing, because its last chunk is missing (RFC 9112, 8). A body
that is delimited by the close, as for an HTTP/1.0 client, would look complete: its connection is
reset.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

from proxy.relay.client_writer import ClientWriter

FLUSH_SECONDS = 5.0
"""How long the client has to read what was sent before the connection is closed."""
_POLL_SECONDS = 0.01
_INT = struct.Struct("i")
_RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER`: on, for 0 s; the close is then a reset (socket(7))."""


async def close_truncated(
    transport: asyncio.Transport, client: ClientWriter, *, reset: bool
) -> None:
    """Close when the client's machine has acknowledged everything, or after a timeout.

    A reset discards data the kernel has not sent yet, and so does a close while data received from
    the client is unread.
    """
    if client.left or transport.is_closing():
        return
    if not await client.flush(FLUSH_SECONDS):
        transport.abort()
        return
    raw = transport.get_extra_info("socket")
    if raw is None or raw.family == socket.AF_UNIX:
        # The peer of a unix socket can read what was written even after a close.
        transport.close()
        return
    deadline = asyncio.get_running_loop().time() + FLUSH_SECONDS
    while not transport.is_closing() and _unacknowledged(raw):
        if asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(_POLL_SECONDS)
    if transport.is_closing():
        return
    if reset:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()


def _unacknowledged(raw: socket.socket) -> int:
    """Return the bytes that the peer has not acknowledged (tcp(7), `SIOCOUTQ`)."""
    answer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, _INT.pack(0))
    number: int = _INT.unpack(answer)[0]
    return number
