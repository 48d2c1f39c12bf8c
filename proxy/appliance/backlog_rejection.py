"""Answers 503 to connections in the backlog of a worker that does not restart in time.

The supervisor owns the workers' sockets, and answers in their place.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from importlib import import_module
from typing import TYPE_CHECKING

import structlog

from proxy.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.appliance.uncounted_requests import UncountedRequests
    from proxy.appliance.worker_socket import WorkerSocket

_SECONDS = 0.5
"""How long nginx, whose request was sent long ago, may take to send and to read."""
_RETRY_SECONDS = 2.0
_HEAD_BYTES = 65_536
_READ = 65_536
_log = structlog.get_logger("appliance")


class BacklogRejection:
    """Answers all connections in a socket's backlog, and counts those that would be relayed."""

    def __init__(self, uncounted: UncountedRequests, paths: tuple[str, ...] = ()) -> None:
        """Take `paths`, the additional relayed prefixes (`SLUICE_PATHS`)."""
        self._uncounted = uncounted
        self._paths = paths
        self._answering: set[asyncio.Task[None]] = set()

    def __call__(self, listening: WorkerSocket) -> None:
        """Answer them in a thread."""
        waiting = listening.take_waiting()
        if waiting:
            task = asyncio.create_task(asyncio.to_thread(self.answer, waiting))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def answer(self, connections: Iterable[socket.socket]) -> None:
        """Answer and close these connections one after the other; it blocks."""
        turned = 0
        for connection in connections:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_SECONDS)
                turned += _answered(connection, self._uncounted, self._paths)
        if turned:
            reason = "their worker did not restart in time"
            _log.warning("turned_away", requests=turned, reason=reason)


def _answered(
    connection: socket.socket, uncounted: UncountedRequests, paths: tuple[str, ...]
) -> bool:
    """Answer a connection. Return False if it has left or sent nothing: nginx logs that."""
    # Imported late: slow to load, and rarely needed.
    refusal = import_module("proxy.edge.reject_connection").refusal
    head = connection.recv(_HEAD_BYTES)
    if not head or import_module("proxy.edge.early_disconnect").has_left(connection):
        return False
    error = Overloaded("The gateway's workers are restarting.", retry_after=_RETRY_SECONDS)
    answer, record = refusal(head, error, paths)
    if record is not None:
        uncounted.count_rejected(record)
    connection.sendall(answer)
    connection.shutdown(socket.SHUT_WR)
    # Closing with unread data would reset the connection and discard the response.
    while connection.recv(_READ):
        pass
    return True
