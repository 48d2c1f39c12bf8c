"""Who waits for a worker that does not come back in time: 503, and asked to try again.

The supervisor owns the sockets that they wait in, and answers in the workers' stead.
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

    from proxy.appliance.ledger import Ledger
    from proxy.appliance.listening import Listening

_SECONDS = 0.5
"""How long nginx, which has asked long ago, may take to send and to read."""
_RETRY_SECONDS = 2.0
_HEAD_BYTES = 65_536
_READ = 65_536
_log = structlog.get_logger("appliance")


class TurningAway:
    """Called with a socket, it answers all who wait in it, and counts what would be relayed."""

    def __init__(self, ledger: Ledger, paths: tuple[str, ...] = ()) -> None:
        """`paths` are the further prefixes that are relayed (`SLUICE_PATHS`)."""
        self._ledger = ledger
        self._paths = paths
        self._answering: set[asyncio.Task[None]] = set()

    def __call__(self, listening: Listening) -> None:
        """Answer them beside the event loop."""
        waiting = listening.take_waiting()
        if waiting:
            task = asyncio.create_task(asyncio.to_thread(self.answer, waiting))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)

    def answer(self, connections: Iterable[socket.socket]) -> None:
        """Answer these, one after the other, and close them. It blocks."""
        turned = 0
        for connection in connections:
            with connection, contextlib.suppress(OSError):
                connection.settimeout(_SECONDS)
                turned += _answered(connection, self._ledger, self._paths)
        if turned:
            reason = "their worker did not come back in time"
            _log.warning("turned_away", requests=turned, reason=reason)


def _answered(connection: socket.socket, ledger: Ledger, paths: tuple[str, ...]) -> bool:
    """Whether it had asked for something, and still waits: nginx's line counts who has left."""
    # Slow to load, and not needed while all is well.
    refusal = import_module("proxy.edge.reject_connection").refusal
    head = connection.recv(_HEAD_BYTES)
    if not head or import_module("proxy.edge.early_disconnect").has_left(connection):
        return False
    error = Overloaded("No worker of the gateway is back yet.", retry_after=_RETRY_SECONDS)
    answer, record = refusal(head, error, paths)
    if record is not None:
        ledger.refused(record)
    connection.sendall(answer)
    connection.shutdown(socket.SHUT_WR)
    # A close with something unread is a reset, which would take the answer back.
    while connection.recv(_READ):
        pass
    return True
