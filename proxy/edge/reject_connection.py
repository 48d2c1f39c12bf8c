"""Answers clients with a 503, without aiohttp, when descriptors or memory run out.

For want of descriptors a few connections at a time are accepted from the reserve, answered and
closed.
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
from proxy.edge.early_disconnect import HEAD_BYTES, is_request, request_of
from proxy.edge.resource_exhaustion import SHORT_OF_MEMORY
from proxy.edge.routes import OTHER
from proxy.errors import Overloaded, body_of, headers_of
from proxy.meter.tally import Tally
from proxy.record import Family, RequestRecord

if TYPE_CHECKING:
    from proxy.edge.telemetry import Telemetry
    from proxy.edge.worker_state import WorkerState
    from proxy.errors import SluiceError

_SECONDS = 1.0
"""How long a client may take to send its request and to read the response."""
_RETRY_SECONDS = 5.0
_READ = 65_536
_ID = re.compile(rb"\r\nX-Request-ID: ([!-~]{1,128})\r\n", re.IGNORECASE)


async def reject(connection: socket.socket, telemetry: Telemetry, paths: tuple[str, ...]) -> None:
    """Answer a request and close its connection, a non-blocking socket."""
    loop = asyncio.get_running_loop()
    with connection, contextlib.suppress(OSError, TimeoutError):
        async with asyncio.timeout(_SECONDS):
            head = await loop.sock_recv(connection, HEAD_BYTES)
            if not head:
                return
            await loop.sock_sendall(connection, _answer(head, telemetry, paths))
            connection.shutdown(socket.SHUT_WR)
            # Closing with unread data would reset the connection and discard the response.
            while await loop.sock_recv(connection, _READ):
                pass


def _answer(head: bytes, telemetry: Telemetry, paths: tuple[str, ...]) -> bytes:
    """Build the 503 in the family's shape, and count the request if it would be relayed."""
    error = Overloaded("The gateway is out of file descriptors.", retry_after=_RETRY_SECONDS)
    answer, record = refusal(head, error, paths)
    if record is not None:
        telemetry.count_unserved(record, Tally())
    return answer


def reject_unread(lost: memoryview, state: WorkerState | None) -> bytes:
    """Build the 503 for a request whose head found no memory; `lost` holds what arrived of it.

    It has the shape of the request's family if `lost` tells the path. A worker alone counts the
    request, under the route `other` if the path is unknown. Behind nginx the supervisor counts it
    by nginx's line, which has the path in any case: nginx takes a response without an id for one of
    its own.
    """
    try:
        head = bytes(lost[:HEAD_BYTES])
    except MemoryError:
        head = b""
    if state is None or state.behind_nginx:
        return refusal(head, SHORT_OF_MEMORY, state.settings.paths if state else (), named=False)[0]
    answer, record = refusal(head, SHORT_OF_MEMORY, state.settings.paths)
    if record is None and not is_request(head):
        record = _refused(_unknown(), SHORT_OF_MEMORY)
    if record is not None:
        with contextlib.suppress(MemoryError):
            state.telemetry.count_unserved(record, Tally())
    return answer


def refusal(
    head: bytes, error: SluiceError, paths: tuple[str, ...], *, named: bool = True
) -> tuple[bytes, RequestRecord | None]:
    """Build the raw response to an unparsed request, and its record.

    The record is None if the request would not be relayed. An `X-Request-ID` in the head, such as
    nginx's, is kept, and repeated in the response's headers unless `named` is False.
    """
    record = request_of(head, paths)
    known = _refused(record or _unknown(), error)
    sent = _ID.search(head)
    known.request_id = sent[1].decode() if sent else os.urandom(16).hex()
    body = body_of(error, known.family, known.request_id)
    headers = CIMultiDict(headers_of(error) | (ids_of(known) if named else {}))
    headers["Content-Type"] = "application/json; charset=utf-8"
    headers["Content-Length"] = str(len(body))
    headers["Connection"] = "close"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    status = f"{error.fault.status} {HTTPStatus(error.fault.status).phrase}"
    return f"HTTP/1.1 {status}\r\n{lines}\r\n".encode("latin-1") + body, record


def _unknown() -> RequestRecord:
    return RequestRecord(os.urandom(16).hex(), "", OTHER, Family.UNKNOWN, time.monotonic())


def _refused(record: RequestRecord, error: SluiceError) -> RequestRecord:
    record.ended_at = time.monotonic()
    record.status, record.ended_by = error.fault.status, error.fault.ended_by
    return record
