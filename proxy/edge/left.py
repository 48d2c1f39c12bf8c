"""Clients that had left before their connection began: counted, and not begun with.

A client that asks and leaves at once costs it nothing, and would cost the worker a millisecond.
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
from proxy.meter.tokens import Tally
from proxy.record import RequestRecord

if TYPE_CHECKING:
    from proxy.edge.telemetry import Telemetry

_PEER_LEFT = 0x2000 | select.POLLHUP | select.POLLERR
"""POLLRDHUP (poll(2)): the peer has closed, or at least its writing half. The second is legal, but
nginx and aiohttp end such a request as well, so that it is one rule everywhere."""
HEAD_BYTES = 4096
_REQUEST_LINE = re.compile(rb"([A-Z]+) (/[^ ?]*)[^ ]* HTTP/1\.[01]\r\n")


def has_left(connection: socket.socket) -> bool:
    """Whether nobody is there any more."""
    poll = select.poll()
    poll.register(connection, _PEER_LEFT)
    return bool(poll.poll(0))


def count(connection: socket.socket, telemetry: Telemetry, paths: tuple[str, ...] = ()) -> bool:
    """Count the request that was sent on it, if it is one that is relayed; whether it was.

    The socket must not be a blocking one. `paths` are the further prefixes that are relayed
    (`SLUICE_PATHS`).
    """
    try:
        head = connection.recv(HEAD_BYTES)
    except OSError:
        return False
    record = request_of(head, paths)
    if record is None:
        return False
    record.client_left_at = record.ended_at = record.started_at
    record.status = ClientLeft.fault.status
    record.ended_by = ClientLeft.fault.ended_by
    telemetry.count_unbegun(record, Tally())
    return True


def request_of(head: bytes, paths: tuple[str, ...]) -> RequestRecord | None:
    """The record of a request that no server has read; None where it is none that is relayed."""
    line = _REQUEST_LINE.match(head)
    if line is None:
        return None
    path = line[2].decode("latin-1")
    if not is_passed(path, paths):
        return None
    route = route_of(path)
    now = time.monotonic()
    return RequestRecord(os.urandom(16).hex(), line[1].decode(), route.label, route.family, now)
