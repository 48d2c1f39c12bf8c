"""Where connections are taken in: a whole burst at once, a few of them in each turn of the loop.

An event loop's own server begins with all that the backlog holds. Every beginning is a third of a
millisecond of work, so a thousand of them would let the running streams stand still. Here they
wait for their turn, and the backlog is empty for those who come after them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections import deque

from aiohttp import web

TURN = 8
"""Connections that begin in one turn of the event loop."""
_PAUSE_SECONDS = 1.0
"""How long nobody is taken in after the system had no descriptor or memory for it."""
_GONE = (BlockingIOError, InterruptedError, ConnectionAbortedError)

_log = logging.getLogger(__name__)


class Porch(web.SockSite):
    """Serves what a listening socket brings. Raises `OSError` at `start` if it cannot listen."""

    __slots__ = ("_beginning", "_came", "_loop", "_pause")

    def __init__(self, runner: web.AppRunner, listening: socket.socket, *, backlog: int) -> None:
        super().__init__(runner, listening, backlog=backlog)
        self._loop = asyncio.get_running_loop()
        self._came: deque[socket.socket] = deque()
        self._beginning: set[asyncio.Task[object]] = set()
        self._pause: asyncio.TimerHandle | None = None

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
                self._came.append(self._sock.accept()[0])
        self._sock.close()
        while self._came:
            self._begin(self._came.popleft())
        if self._beginning:
            await asyncio.wait(self._beginning)

    def _open(self) -> None:
        self._pause = None
        self._loop.add_reader(self._sock, self._take_in)

    def _take_in(self) -> None:
        turning = bool(self._came)
        try:
            with contextlib.suppress(*_GONE):
                while True:
                    self._came.append(self._sock.accept()[0])
        except OSError as error:
            # Asked again at once, it would say so again, as fast as it can.
            _log.warning("No connection can be taken in: %s", error.strerror)
            self._loop.remove_reader(self._sock)
            self._pause = self._loop.call_later(_PAUSE_SECONDS, self._open)
        if self._came and not turning:
            self._next()

    def _next(self) -> None:
        for _ in range(min(TURN, len(self._came))):
            self._begin(self._came.popleft())
        if self._came:
            self._loop.call_soon(self._next)

    def _begin(self, connection: socket.socket) -> None:
        server = self._runner.server
        assert server is not None
        connection.setblocking(False)
        task: asyncio.Task[object] = self._loop.create_task(
            self._loop.connect_accepted_socket(server, connection)
        )
        self._beginning.add(task)
        task.add_done_callback(self._begun)

    def _begun(self, task: asyncio.Task[object]) -> None:
        self._beginning.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.debug("A connection ended before it began: %s", type(error).__name__)
