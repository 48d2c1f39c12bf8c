"""How a connection is broken off, so that the client sees it and yet has read the last words.

A body in chunked coding is broken off by the close, for its last chunk is missing (RFC 9112, 8).
One that only the close ends, as for a client of HTTP/1.0, would look whole: it is reset.
"""

from __future__ import annotations

import asyncio
import fcntl
import socket
import struct
import termios

from proxy.relay.client_writer import ClientWriter

LAST_WORDS_SECONDS = 5.0
"""How long a client has to take what was sent to it before the break."""
_LOOK_SECONDS = 0.01
_INT = struct.Struct("i")
_RESET = struct.pack("ii", 1, 0)
"""`SO_LINGER`: on, for 0 s; the close is then a reset (socket(7))."""


async def break_off(transport: asyncio.Transport, client: ClientWriter, *, reset: bool) -> None:
    """Close, once the client's machine has all that was sent, or its time for that is over.

    What the kernel has not sent is lost in a reset, and also in a close where the client has sent
    something that nobody read.
    """
    if client.left or transport.is_closing():
        return
    if not await client.flush(LAST_WORDS_SECONDS):
        transport.abort()
        return
    raw = transport.get_extra_info("socket")
    if raw is None or raw.family == socket.AF_UNIX:
        # The other end of a unix socket reads what was written, however it was closed.
        transport.close()
        return
    deadline = asyncio.get_running_loop().time() + LAST_WORDS_SECONDS
    while not transport.is_closing() and _unacknowledged(raw):
        if asyncio.get_running_loop().time() >= deadline:
            break
        await asyncio.sleep(_LOOK_SECONDS)
    if transport.is_closing():
        return
    if reset:
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        transport.abort()
    else:
        transport.close()


def _unacknowledged(raw: socket.socket) -> int:
    """Bytes that the other machine has not confirmed (tcp(7), `SIOCOUTQ`)."""
    answer = fcntl.ioctl(raw.fileno(), termios.TIOCOUTQ, _INT.pack(0))
    number: int = _INT.unpack(answer)[0]
    return number
