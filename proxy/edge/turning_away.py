"""Clients that no descriptor comes free for: after their time in the backlog they get a 503.

Their connections are taken in from the reserve, a few at once, answered without aiohttp, closed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import socket
import time
from http import HTTPStatus
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
    from proxy.errors import SluiceError

_SECONDS = 1.0
"""How long one of them may take to ask, and to take its answer."""
_RETRY_SECONDS = 5.0
_READ = 65_536
_ID = re.compile(rb"\r\nX-Request-ID: ([!-~]{1,128})\r\n", re.IGNORECASE)


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
    answer, record = refusal(head, error, paths)
    if record is not None:
        telemetry.count_unbegun(record, Tally())
    return answer


def refusal(
    head: bytes, error: SluiceError, paths: tuple[str, ...]
) -> tuple[bytes, RequestRecord | None]:
    """The whole answer to a request that no server has read, and its record, ended.

    There is no record of a request that is not relayed. nginx's id of the request, which stands
    among its headers, is kept.
    """
    record = request_of(head, paths)
    known = record or RequestRecord("", "", OTHER, Family.UNKNOWN, time.monotonic())
    sent = _ID.search(head)
    known.request_id = sent[1].decode() if sent else os.urandom(16).hex()
    known.ended_at = time.monotonic()
    known.status, known.ended_by = error.fault.status, error.fault.ended_by
    body = body_of(error, known.family, known.request_id)
    headers = CIMultiDict(headers_of(error) | ids_of(known))
    headers["Content-Type"] = "application/json; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status = f"{error.fault.status} {HTTPStatus(error.fault.status).phrase}"
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body, record
