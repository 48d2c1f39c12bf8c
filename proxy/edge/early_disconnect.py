"""Counts clients that disconnected before their request was served, without serving it.

Sending a request and disconnecting costs an attacker nothing; serving it would cost a millisecond.
"""

from __future__ import annotations

import os
import re
import select
import socket
import time
from typing import TYPE_CHECKING

from proxy.edge.routes import is_passed, route_of
from proxy.errors import ClientLeft
from proxy.meter.tally import Tally
from proxy.record import RequestRecord

if TYPE_CHECKING:
    from aiohttp.http import RawRequestMessage

    from proxy.edge.telemetry import Telemetry
    from proxy.edge.worker_state import WorkerState

_PEER_LEFT = 0x2000 | select.POLLHUP | select.POLLERR
"""POLLRDHUP (poll(2)): the peer has closed the connection, or its writing half. The latter is
legal, but nginx and aiohttp end such a request as well, so that one rule holds everywhere."""
HEAD_BYTES = 64 * 1024
"""More than the longest request target, after which nginx writes the request's id: without the id
the request could not be matched with nginx's log line, and would be counted twice."""
_ID_FIELD = re.compile(rb"\r\nX-Request-ID:[ \t]*([A-Za-z0-9._-]{1,128})[ \t]*\r\n", re.IGNORECASE)
_OWN_ID_FIELD = re.compile(rb"\r\nX-Sluice-Request-ID: ([0-9a-f]{32})\r\n")
_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[^ ?]*)[^ ]* HTTP/1\.[01]\r\n")
_TARGET = re.compile(rb"[\r\n]*[A-Z]+ (/[^ ?\r\n]*)")


def has_left(connection: socket.socket) -> bool:
    """Whether the peer has disconnected."""
    poll = select.poll()
    poll.register(connection, _PEER_LEFT)
    return bool(poll.poll(0))


def count(connection: socket.socket, telemetry: Telemetry, paths: tuple[str, ...] = ()) -> bool:
    """Count the request that waits on a connection, if it would be relayed. Return whether it was.

    The socket must be non-blocking. `paths` are the additional prefixes (`SLUICE_PATHS`).
    """
    try:
        head = connection.recv(HEAD_BYTES)
    except OSError:
        return False
    record = request_of(head, paths)
    if record is None:
        return False
    count_unserved(record, telemetry)
    return True


def count_unserved(record: RequestRecord, telemetry: Telemetry) -> None:
    """Count a request whose client disconnected before it was served."""
    record.client_left_at = record.ended_at = record.started_at
    record.status = ClientLeft.fault.status
    record.ended_by = ClientLeft.fault.ended_by
    telemetry.count_unserved(record, Tally())


def count_message(message: RawRequestMessage, state: WorkerState) -> None:
    """Count a request whose head aiohttp has parsed, if it would be relayed."""
    path, known = message.path.partition("?")[0], message.headers.get("X-Request-ID", "")
    record = record_of(message.method, path, known, state.settings.paths)
    if record is not None:
        record.own_id = message.headers.get("X-Sluice-Request-ID", "")
        count_unserved(record, state.telemetry)


def is_request(head: bytes) -> bool:
    """Whether this is the beginning of a request, relayed or not."""
    return _REQUEST_LINE.match(head) is not None


def request_id_in(head: bytes) -> str:
    """Return the valid `X-Request-ID` of a raw request head; empty if it has none."""
    match = _ID_FIELD.search(head)
    return match[1].decode() if match else ""


def path_in(head: bytes) -> str:
    """Return the path of a raw request head, which may be malformed; empty if it has none."""
    match = _TARGET.match(head)
    return match[1].decode("latin-1") if match else ""


def request_of(head: bytes, paths: tuple[str, ...]) -> RequestRecord | None:
    """Build a record from a raw request head; None if the request would not be relayed."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        return None
    record = record_of(line[1].decode(), line[2].decode("latin-1"), request_id_in(head), paths)
    if record is not None and (own := _OWN_ID_FIELD.search(head)):
        record.own_id = own[1].decode()
    return record


def record_of(
    method: str, path: str, request_id: str, paths: tuple[str, ...]
) -> RequestRecord | None:
    """Build a record for a raw path; None if the request would not be relayed.

    An empty id is replaced by a new one.
    """
    if not is_passed(path, paths):
        return None
    route = route_of(path)
    known = request_id or os.urandom(16).hex()
    return RequestRecord(known, method, route.label, route.family, time.monotonic())
