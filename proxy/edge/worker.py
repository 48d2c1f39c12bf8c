"""One worker: an aiohttp server on uvloop with one event loop, and its shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import structlog
import uvloop
from aiohttp import web

from proxy.container_limits import granted, raise_oom_score
from proxy.edge.app import create_runner
from proxy.edge.heartbeat import Heartbeat
from proxy.edge.listener import PacedListener
from proxy.edge.worker_reload import WorkerReload
from proxy.edge.worker_state import WorkerState, open_worker_state
from proxy.errors import Drained
from proxy.meter import logs
from proxy.meter.tracing import SpansUnavailable
from proxy.settings import Settings
from proxy.worker_sizing import sized

BACKLOG = 16_384
"""Connections that may wait to be accepted; the kernel's own limit may be lower."""
UNSENT_BYTES = 128 * 1024
"""The unsent bytes of a response that the kernel may buffer."""
DRAIN, HURRY = signal.SIGUSR1, signal.SIGUSR2
"""The supervisor's signals: drain; cut the streams with an error event and exit at once."""
_CUT_STREAMS_SECONDS = 5.0
"""How long cut streams have to send their error event."""


def run(  # noqa: PLR0913 one per command-line option
    settings: Settings,
    *,
    unix: str | None = None,
    host: str | None = None,
    port: int | None = None,
    index: int = 0,
    workers: int = 1,
    behind_nginx: bool = False,
    inherited: Inherited | None = None,
    as_set: Settings | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT, then drain; each further signal skips the current wait.

    Listens on an inherited socket, on a unix socket, or on a host and port. `as_set` are the
    settings before sizing. Return the exit status.
    """
    logs.configure(settings.log_level, settings.log_format)
    as_set = as_set or settings
    if inherited is None:
        settings = _sized(settings)
    else:
        raise_oom_score()
    serving = Worker(settings, index=index, workers=workers, behind_nginx=behind_nginx)
    serving.inherited = inherited
    serving.as_set = as_set
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(serving.serve(unix, host or settings.listen_address, port))
    except (OSError, ValueError, SpansUnavailable) as error:
        # The operator can fix these errors: log one line, without a traceback.
        structlog.get_logger().error("worker_cannot_start", worker=index, reason=str(error))
        return 2


def _sized(settings: Settings) -> Settings:
    """Derive unset settings from the memory; a supervisor does so for its workers."""
    log, chosen = structlog.get_logger(), sized(settings, granted(), alone=True)
    log.info("sized", **chosen.chosen, why=chosen.why)
    for warning in chosen.warnings:
        log.warning("limits", advice=warning)
    return chosen.settings


class Inherited(NamedTuple):
    """Descriptors inherited from a supervisor."""

    listening: int
    heartbeat: int
    settings: int | None = None


class Worker:
    """Starts a worker's parts, serves, and stops them in order."""

    def __init__(self, settings: Settings, *, index: int, workers: int, behind_nginx: bool) -> None:
        self._settings = settings
        self._index = index
        self._workers = workers
        self._behind_nginx = behind_nginx
        self.inherited: Inherited | None = None
        self.as_set = settings
        """The settings before sizing."""
        self._reloader: WorkerReload | None = None
        self._reloading: asyncio.Task[None] | None = None
        self._log = structlog.get_logger().bind(worker=index)
        self._stop_requested = asyncio.Event()
        """Set to end, after a lame-duck period; `_drain_requested`, to stop accepting now."""
        self._drain_requested = asyncio.Event()
        self._hurrying = asyncio.Event()

    async def serve(self, unix: str | None, host: str, port: int | None) -> int:
        """Serve until a signal to stop, then drain. Return the exit status."""
        if self._settings.proxy_protocol and not self._behind_nginx:
            raise ValueError("SLUICE_PROXY_PROTOCOL needs nginx: use `sluice run`.")
        async with AsyncExitStack() as parts:
            state = await parts.enter_async_context(
                open_worker_state(
                    self._settings,
                    index=self._index,
                    workers=self._workers,
                    behind_nginx=self._behind_nginx,
                )
            )
            runner = create_runner(state)
            await runner.setup()
            parts.push_async_callback(runner.cleanup)
            site = self._site(runner, unix, host, port)
            self._reloader = WorkerReload(
                state, self.inherited.settings if self.inherited else None, self.as_set
            )
            self._listen_to_signals()
            if self.inherited is not None:
                # Before the worker is ready, so that a ready worker always has a heartbeat.
                heartbeat = Heartbeat(self.inherited.heartbeat)
                parts.callback(heartbeat.close)
            await site.start()
            _freeze_gc()
            self._log.info("worker_ready", pid=os.getpid(), listens=site.name)
            await self._stop_requested.wait()
            await self._lame_duck(state)
            return await self._drain(state, site)

    def _site(
        self, runner: web.AppRunner, unix: str | None, host: str, port: int | None
    ) -> web.BaseSite:
        if self.inherited is not None:
            listening = socket.socket(fileno=self.inherited.listening)
        elif unix is None:
            listening = _open(host, port or 0)
        else:
            listening = _open_unix(unix)
        return PacedListener(runner, listening, backlog=BACKLOG)

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            if self.inherited is None:
                loop.add_signal_handler(number, self._stop)
            else:
                # systemd signals all processes of a service; only the supervisor's order counts.
                signal.signal(number, signal.SIG_IGN)
        loop.add_signal_handler(signal.SIGHUP, self._reload)
        loop.add_signal_handler(DRAIN, self._drain_now)
        loop.add_signal_handler(HURRY, self._hurry)

    def _reload(self) -> None:
        if self._reloader is not None:
            self._reloading = asyncio.create_task(self._reloader.reload())

    def _stop(self) -> None:
        if self._hurrying.is_set():
            os._exit(1)
        if self._drain_requested.is_set():
            self._hurry()
        elif self._stop_requested.is_set() or not self._settings.lame_duck_seconds:
            self._drain_requested.set()
        self._stop_requested.set()

    def _drain_now(self) -> None:
        self._drain_requested.set()
        self._stop_requested.set()

    def _hurry(self) -> None:
        self._log.warning("stopped_at_once")
        self._drain_now()
        self._hurrying.set()

    async def _lame_duck(self, state: WorkerState) -> None:
        """Keep serving while load balancers learn that this worker is not ready."""
        if self._drain_requested.is_set():
            return
        state.lame_duck = True
        self._log.info("lame_duck", seconds=self._settings.lame_duck_seconds)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.lame_duck_seconds):
                await self._drain_requested.wait()
        self._drain_requested.set()

    async def _drain(self, state: WorkerState, site: web.BaseSite) -> int:
        # 1. Report not ready, and stop accepting.
        state.draining = True
        await site.stop()
        # 2. Let running streams end by themselves, for `drain_seconds`.
        self._log.info("draining", streams=state.admission.taken)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._settings.drain_seconds):
                await _first_of(state.idle(), self._hurrying.wait())
        # 3. Cut and count the streams that still run.
        cut = state.cut_all(Drained("The gateway is stopping."))
        # 4. Let their error events be sent; then the connections close.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.8 if self._hurrying.is_set() else _CUT_STREAMS_SECONDS):
                await state.all_ended()
        self._log.info("drained", cut=cut)
        if self._hurrying.is_set():
            # Closing every connection may take too long.
            os._exit(1)
        return 0


async def _first_of(*awaited: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(coroutine) for coroutine in awaited]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


def _open_unix(unix: str) -> socket.socket:
    # Remove the stale socket of a worker that was killed.
    Path(unix).unlink(missing_ok=True)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(unix)
    return listening


def _open(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # `::` means IPv4, too.
    both = host == "::" and socket.has_dualstack_ipv6()
    listening = socket.create_server(
        (host, port), family=family, backlog=BACKLOG, dualstack_ipv6=both
    )
    if hasattr(socket, "TCP_NOTSENT_LOWAT"):
        # Otherwise the kernel buffers megabytes for a client that does not read (tcp(7)).
        # Accepted connections inherit the option.
        listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES)
    return listening


def _freeze_gc() -> None:
    """Exclude the objects made at the start from garbage collection: they live forever.

    The command line has disabled the collector for the start. Collecting its garbage now would take
    a tenth of the start: it is one object in thirty, and stays.
    """
    gc.freeze()
    gc.enable()
    gc.set_threshold(50_000, 20, 50)
    sys.stdout.flush()
