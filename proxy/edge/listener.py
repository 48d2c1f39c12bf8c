"""A listener that accepts a whole burst at once, and starts a few connections per loop iteration.

asyncio's server starts every connection in the backlog at once. Starting one takes a third of a
millisecond, so a thousand of them would stall the running streams. Here accepted connections wait
to be started, and the backlog is empty for further clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import socket
from collections import deque

import structlog
from aiohttp import web

from proxy.edge import early_disconnect
from proxy.edge.reject_connection import reject
from proxy.edge.resource_exhaustion import Descriptors
from proxy.edge.worker_state import WORKER_STATE, WorkerState

ACCEPTS_PER_TURN = 8
"""Connections started per iteration of the event loop."""
MAX_CHECKS_PER_TURN = 128
"""Connections checked per iteration; disconnected ones are skipped and do not count as started."""
_PAUSE_SECONDS = 0.1
"""How long accepting pauses when descriptors or memory are exhausted."""

_log = structlog.get_logger()


class PacedListener(web.SockSite):
    """Serves a listening socket. `start` raises `OSError` if it cannot listen."""

    __slots__ = (
        "_accepted",
        "_application_runner",
        "_backlog_length",
        "_descriptors",
        "_left",
        "_listening",
        "_loop",
        "_others",
        "_pause",
        "_rejecting",
        "_starting",
        "_waiting_since",
    )

    def __init__(self, runner: web.AppRunner, listening: socket.socket, *, backlog: int) -> None:
        super().__init__(runner, listening, backlog=backlog)
        self._application_runner = runner
        self._listening = listening
        self._backlog_length = backlog
        self._loop = asyncio.get_running_loop()
        self._accepted: deque[socket.socket] = deque()
        self._starting: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None
        self._descriptors = Descriptors()
        self._others = self._descriptors.lowest_free()
        """Descriptors that are no connections, as of the start."""
        self._rejecting: set[asyncio.Task[None]] = set()
        self._waiting_since = self._loop.time()
        """When the backlog was last seen empty."""
        self._left = 0
        """Clients that disconnected before they were served, since the last log line."""

    async def start(self) -> None:
        """Start listening."""
        await web.BaseSite.start(self)
        self._listening.setblocking(False)
        self._listening.listen(self._backlog_length)
        self._resume_accepting()

    async def stop(self) -> None:
        """Stop listening; serve the accepted connections and those in the backlog."""
        await super().stop()
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._listening)
        with contextlib.suppress(OSError):
            while True:
                self._accepted.append(self._listening.accept()[0])
        self._listening.close()
        while self._accepted:
            self._start_if_connected(self._accepted.popleft())
        if unfinished := {*self._starting, *self._rejecting}:
            await asyncio.wait(unfinished)

    def _resume_accepting(self) -> None:
        self._pause = None
        self._descriptors.look_again()
        if not self._has_room(self._descriptors.lowest_free() - 1, *self._connections()):
            self._reject_waiting()
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume_accepting)
            return
        self._loop.add_reader(self._listening, self._accept)

    def _accept(self) -> None:
        is_scheduled = bool(self._accepted)
        clients, upstreams = self._connections()
        try:
            with contextlib.suppress(InterruptedError, ConnectionAbortedError):
                while self._pause is None:
                    self._accepted.append(self._listening.accept()[0])
                    clients += 1
                    if not self._has_room(self._accepted[-1].fileno(), clients, upstreams):
                        _log.warning("accept_paused", reason="too few file descriptors are left")
                        self._pause_accepting()
        except BlockingIOError:
            self._waiting_since = self._loop.time()
        except OSError as error:
            # Retrying at once would fail again in a busy loop.
            _log.warning("accept_failed", reason=error.strerror, retry_seconds=_PAUSE_SECONDS)
            self._pause_accepting()
        if self._accepted and not is_scheduled:
            self._start_next()

    def _start_next(self) -> None:
        started = checked = 0
        while self._accepted and started < ACCEPTS_PER_TURN and checked < MAX_CHECKS_PER_TURN:
            started += self._start_if_connected(self._accepted.popleft())
            checked += 1
        if self._accepted:
            self._loop.call_soon(self._start_next)

    def _pause_accepting(self) -> None:
        self._loop.remove_reader(self._listening)
        self._pause = self._loop.call_later(_PAUSE_SECONDS, self._resume_accepting)

    def _reject_waiting(self) -> None:
        """Reject connections that have waited in the backlog for the queue timeout.

        The backlog is first in, first out, so none is older than when it was last seen empty.
        """
        state, now = self._worker_state(), self._loop.time()
        poll = select.poll()
        poll.register(self._listening, select.POLLIN)
        if not poll.poll(0):
            self._waiting_since = now
        if state is None or now - self._waiting_since < state.settings.queue_timeout_seconds:
            return
        with contextlib.suppress(OSError):
            while len(self._rejecting) < self._descriptors.reserve // 2:
                connection = self._listening.accept()[0]
                connection.setblocking(False)
                task = self._loop.create_task(
                    reject(connection, state.telemetry, state.settings.paths)
                )
                self._rejecting.add(task)
                task.add_done_callback(self._rejecting.discard)

    def _start_if_connected(self, connection: socket.socket) -> bool:
        """Start a connection unless its client has disconnected. Return whether it was started."""
        state = self._worker_state()
        connection.setblocking(False)
        if early_disconnect.has_left(connection):
            if state is not None and early_disconnect.count(
                connection, state.telemetry, state.settings.paths
            ):
                self._count_left()
            connection.close()
            return False
        self._start_connection(connection)
        return True

    def _has_room(self, given: int, clients: int, upstreams: int) -> bool:
        """Whether descriptors suffice for one more client beside those that are here.

        `given` is the latest descriptor: all below it are in use, and connections may use more
        above, as the kernel assigns the lowest free number (POSIX, 2.14).
        """
        used = max(given + 1, self._others + clients + upstreams)
        if self._descriptors.plenty(used):
            return True
        self._descriptors.look_again()
        return self._descriptors.room_for(used, clients - upstreams)

    def _connections(self) -> tuple[int, int]:
        """Return the numbers of connections to clients and to upstreams. Takes time for each."""
        server, state = self._application_runner.server, self._worker_state()
        started = 0 if server is None else len(server.connections)
        upstreams = 0 if state is None else sum(state.upstreams.connections())
        return len(self._accepted) + len(self._starting) + started, upstreams

    def _worker_state(self) -> WorkerState | None:
        """Return the worker's state; None in an application that is not Sluice's."""
        return self._application_runner.app.get(WORKER_STATE)

    def _count_left(self) -> None:
        self._left += 1
        if self._left == 1:
            self._loop.call_later(1.0, self._log_left)

    def _log_left(self) -> None:
        _log.info("clients_left_unserved", clients=self._left)
        self._left = 0

    def _start_connection(self, connection: socket.socket) -> None:
        server = self._application_runner.server
        assert server is not None
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(server, connection)
        )
        self._starting.add(task)
        task.add_done_callback(self._connection_started)

    def _connection_started(self, task: asyncio.Task[object]) -> None:
        self._starting.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("connection_not_started", reason=type(error).__name__)
