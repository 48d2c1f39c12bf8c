"""Clients that no descriptor comes free for: after their time in the backlog they get a 503.

Their connections are taken in from the reserve, a few at once, answered without aiohttp, closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from proxy.edge.downstream_response import ids_of
from proxy.edge.left import HEAD_BYTES, request_of
from proxy.edge.routes import OTHER
from proxy.errors import Overloaded, body_of, headers_of
from proxy.meter.tokens import Tally
from proxy.record import Family, RequestRecord

if TYPE_CHECKING:
    from proxy.edge.telemetry import Telemetry

_SECONDS = 1.0
"""How long one of them may take to ask, and to take its answer."""
_RETRY_SECONDS = 5.0
_READ = 65_536


async def turn_away(
    connection: socket.socket, telemetry: Telemetry, paths: tuple[str, ...]
) -> None:
    """Answer one and close its connection, which must not be a blocking one."""
    loop = asyncio.get_running_loop()
    with connection, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_SECONDS):
            head = await loop.sock_recv(connection, HEAD_BYTES)
            if not head:
                return
            await loop.sock_sendall(connection, _answer(head, telemetry, paths))
            connection.shutdown(socket.SHUT_WR)
            # A close with something unread is a reset, which would take the answer back.
            while await loop.sock_recv(connection, _READ):
                pass


def _answer(head: bytes, telemetry: Telemetry, paths: tuple[str, ...]) -> bytes:
    """The 503 in the shape of the family; counted where the request is one that is relayed."""
    error = Overloaded("The gateway is short of descriptors.", retry_after=_RETRY_SECONDS)
    record = request_of(head, paths)
    if record is None:
        record = RequestRecord(os.urandom(16).hex(), "", OTHER, Family.UNKNOWN, time.monotonic())
    else:
        record.ended_at = time.monotonic()
        record.status, record.ended_by = error.fault.status, error.fault.ended_by
        telemetry.count_unbegun(record, Tally())
    body = body_of(error, record.family, record.request_id)
    headers = CIMultiDict(headers_of(error) | ids_of(record))
    headers["Content-Type"] = "application/json; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{lines}\r\n".encode("latin-1") + body
