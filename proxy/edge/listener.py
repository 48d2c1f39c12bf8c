"""Where connections are taken in: a whole burst at once, a few of them in each turn of the loop.

An event loop's own server begins with all that the backlog holds. Every beginning is a third of a
millisecond of work, so a thousand of them would let the running streams stand still. Here they
wait for their turn, and the backlog is empty for those who come after them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
from collections import deque

from aiohttp import web

from proxy.edge import left
from proxy.edge.exhausted import Descriptors
from proxy.edge.turning_away import turn_away
from proxy.edge.worker_state import WORKER_STATE, WorkerState

ACCEPTS_PER_TURN = 8
"""Connections that begin in one turn of the event loop."""
LOOKS = 128
"""Connections that are looked at in one turn; most have left where they are more than
`ACCEPTS_PER_TURN`."""
_PAUSE_SECONDS = 0.1
"""How long nobody is taken in when there are too few descriptors, or no memory for it."""

_log = logging.getLogger(__name__)


class PacedListener(web.SockSite):
    """Serves what a listening socket brings. Raises `OSError` at `start` if it cannot listen."""

    __slots__ = (
        "_accepted",
        "_beginning",
        "_descriptors",
        "_left",
        "_loop",
        "_pause",
        "_turning_away",
        "_waiting_since",
    )

    def __init__(self, runner: web.AppRunner, listening: socket.socket, *, backlog: int) -> None:
        super().__init__(runner, listening, backlog=backlog)
        self._loop = asyncio.get_running_loop()
        self._accepted: deque[socket.socket] = deque()
        self._beginning: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._descriptors = Descriptors()
        self._turning_away: set[asyncio.Task[None]] = set()
        self._waiting_since = self._loop.time()
        """When the backlog was last known to be empty."""
        self._left = 0
        """Clients that had left before they were begun with, since it was last said."""

    async def start(self) -> None:
        """Listen."""
        await web.BaseSite.start(self)
        self._sock.setblocking(False)
        self._sock.listen(self._backlog)
        self._open()

    async def stop(self) -> None:
        """Listen no longer; who has come is served, also those that only the kernel knows of."""
        await super().stop()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._sock)
        with contextlib.suppress(OSError):
            while True:
                self._accepted.append(self._sock.accept()[0])
        self._sock.close()
        while self._accepted:
            self._begin_with(self._accepted.popleft())
        if unfinished := {*self._beginning, *self._turning_away}:
            await asyncio.wait(unfinished)

    def _open(self) -> None:
        self._pause = None
        if not self._room(self._descriptors.lowest_free() - 1):
            self._turn_away()
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._open)
            return
        self._loop.add_reader(self._sock, self._accept)

    def _accept(self) -> None:
        turning = bool(self._accepted)
        try:
            with contextlib.suppress(InterruptedError, ConnectionAbortedError):
                while self._pause is None:
                    self._accepted.append(self._sock.accept()[0])
                    if not self._room(self._accepted[-1].fileno()):
                        _log.warning("No connection is taken in: there are too few descriptors.")
                        self._rest()
        except BlockingIOError:
            self._waiting_since = self._loop.time()
        except OSError as error:
            # Asked again at once, it would say so again, as fast as it can.
            _log.warning("No connection can be taken in: %s", error.strerror)
            self._rest()
        if self._accepted and not turning:
            self._next()

    def _next(self) -> None:
        begun = looks = 0
        while self._accepted and begun < ACCEPTS_PER_TURN and looks < LOOKS:
            begun += self._begin_with(self._accepted.popleft())
            looks += 1
        if self._accepted:
            self._loop.call_soon(self._next)

    def _rest(self) -> None:
        self._loop.remove_reader(self._sock)
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._open)

    def _turn_away(self) -> None:
        """Answer those who have waited in the backlog for as long as anybody may wait for a slot.

        Who comes first is taken out first, so none has waited since before it was last empty.
        """
        state, now = self._gateway(), self._loop.time()
        poll = select.poll()
        poll.register(self._sock, select.POLLIN)
        if not poll.poll(0):
            self._waiting_since = now
        if state is None or now - self._waiting_since < state.settings.queue_timeout_seconds:
            return
        with contextlib.suppress(OSError):
            while len(self._turning_away) < self._descriptors.reserve // 2:
                connection = self._sock.accept()[0]
                connection.setblocking(False)
                task = self._loop.create_task(
                    turn_away(connection, state.telemetry, state.settings.paths)
                )
                self._turning_away.add(task)
                task.add_done_callback(self._turning_away.discard)

    def _begin_with(self, connection: socket.socket) -> bool:
        """Begin, unless the client has left; whether it was."""
        state = self._gateway()
        connection.setblocking(False)
        if left.has_left(connection):
            if state is not None and left.count(connection, state.telemetry, state.settings.paths):
                self._tell_of_left()
            connection.close()
            return False
        self._begin(connection)
        return True

    def _room(self, given: int) -> bool:
        """Whether one more client can be taken in, with all that it and the others will need."""
        if self._descriptors.plenty(given):
            return True
        server, state = self._runner.server, self._gateway()
        if server is None or state is None:
            return True
        here = len(self._accepted) + len(self._beginning) + len(server.connections)
        return self._descriptors.room_for(given, here - sum(state.upstreams.connections()))

    def _gateway(self) -> WorkerState | None:
        """None in an application that is not Sluice's."""
        return (
            self._runner.app.get(WORKER_STATE) if isinstance(self._runner, web.AppRunner) else None
        )

    def _tell_of_left(self) -> None:
        self._left += 1
        if self._left == 1:
            self._loop.call_later(1.0, self._say_left)

    def _say_left(self) -> None:
        _log.info("%d clients had left before their requests were begun with.", self._left)
        self._left = 0

    def _begin(self, connection: socket.socket) -> None:
        server = self._runner.server
        assert server is not None
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(server, connection)
        )
        self._beginning.add(task)
        task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("A connection ended before it began: %s", type(error).__name__)
