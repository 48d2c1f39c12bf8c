"""`sluice run`: starts all processes, keeps them running, and stops them in order."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import signal
import subprocess
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog

from proxy.appliance import banner, child_commands, nginx
from proxy.appliance.appliance_reload import ApplianceReload
from proxy.appliance.file_snapshots import FileSnapshots
from proxy.appliance.http_probe import accepts
from proxy.appliance.monitor import CannotStart, ProcessMonitor
from proxy.appliance.preflight import preflight
from proxy.appliance.processes import Processes, Programs
from proxy.appliance.run_directory import run_directory
from proxy.appliance.status import ApplianceStatus
from proxy.container_limits import granted
from proxy.meter import logs
from proxy.meter.log_output import STDOUT
from proxy.worker_sizing import sized

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from proxy.appliance.admin import Admin
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.run_directory import RunDirectory
    from proxy.settings import Settings

_log = structlog.get_logger("appliance")

_STOP_ACCEPTING_SECONDS = 1.0


class StopRequested(Exception):
    """A signal to stop was received."""


def run(settings: Settings, programs: Callable[[NginxProgram], Programs] = Programs) -> int:
    """Run until SIGTERM or SIGINT. Return the exit status: 0, or 1 if something cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_before_the_start)
    as_set, fitting = settings, sized(settings, granted())
    settings = fitting.settings
    try:
        with run_directory() as directory:
            # 1. Report problems before anything runs.
            files = FileSnapshots(directory.path)
            chosen = programs(preflight(settings, directory, files))
            _log.info("sized", **fitting.chosen, why=fitting.why)
            for warning in fitting.warnings:
                _log.warning("limits", advice=warning)
            return asyncio.run(Supervisor(settings, directory, chosen, files, as_set).serve())
    except (CannotStart, OSError) as error:
        print(f"sluice: {error}", file=sys.stderr)  # noqa: T201 for the terminal
        return 1


def _stop_before_the_start(_number: int, _frame: object) -> None:
    # Nothing runs yet, but the run directory must be removed.
    sys.exit(0)


class Supervisor:
    """One run of the appliance."""

    def __init__(
        self,
        settings: Settings,
        directory: RunDirectory,
        programs: Programs,
        files: FileSnapshots,
        at_start: Settings | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._program = programs.nginx
        self._restart_policy = programs.restart_policy
        held = files.snapshot(settings)
        self._processes = Processes(held, directory, programs)
        self._reload_all = ApplianceReload(
            held, at_start or settings, directory, programs.nginx, self._processes, files
        )
        self._status = ApplianceStatus(
            self._processes,
            directory.metrics,
            programs.nginx.version_text,
            latest_reload=lambda: self._reload_all.latest,
            certificate_end=self._reload_all.certificate_end,
        )
        self._monitored: dict[ProcessMonitor, asyncio.Task[None]] = {}
        self._stop = asyncio.Event()
        self._stop_at_once = asyncio.Event()
        self._in_lame_duck = False
        """Whether clients are still served after a signal to stop; `_skip_lame_duck` ends it."""
        self._skip_lame_duck = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None

    async def serve(self) -> int:
        """Start, run, drain, and end. Return the exit status.

        Raises `CannotStart` with the stderr tail of a child that does not start.
        """
        self._listen_to_signals()
        await asyncio.to_thread(self._processes.kills.look)
        admin = None
        try:
            # 2. Start the demo, the store and the workers; they load while the admin port opens.
            self._start(*self._processes.behind_nginx)
            admin = await self._open_admin()
            try:
                await self._come_up()
                # 5. Run until a signal, or until a child cannot be restarted.
                await self._until(asyncio.Event().wait(), self._stop)
            except StopRequested:
                pass
            await self._lame_duck()
            # 6. Accept nothing new, and let running streams end.
            self._status.draining = True
            try:
                await self._until(self._drain(), self._stop_at_once)
            except StopRequested:
                _log.warning("stopping_at_once")
                return 1
            _log.info("stopped")
            return 0
        finally:
            await self._end()
            if admin is not None:
                await admin.close()

    async def _come_up(self) -> None:
        # 3. Start nginx, which opens the public ports, when the workers are ready.
        await self._until(_all_ready(self._processes.behind_nginx), self._stop)
        self._start(self._processes.nginx)
        await self._until(_all_ready([self._processes.nginx]), self._stop)
        # 4. Report ready, to the probes, the log and the terminal.
        self._status.came_up = True
        if banner.uses_demo(self._settings):
            _log.warning("demo_upstream", advice="SLUICE_UPSTREAM_URL is not set: no model answers")
        if banner.spends_key_for_anybody(self._settings):
            _log.warning("open_to_anybody", advice=banner.OPEN_TO_ANYBODY)
        _log.info("ready", url=banner.public_url(self._settings), run=str(self._directory.path))
        # For people; a closed stdout is not an error.
        STDOUT.write(banner.banner_text(self._settings) + "\n")

    async def _lame_duck(self) -> None:
        """Keep serving for a while, and make clients reconnect elsewhere.

        Load balancers notice only at their next health check that this machine is not ready.
        """
        seconds = self._settings.lame_duck_seconds
        if not self._status.came_up or not seconds:
            return
        self._status.lame_duck = self._in_lame_duck = True
        _log.info("lame_duck", seconds=seconds)
        with contextlib.suppress(StopRequested):
            await self._until(self._announce_lame_duck(seconds), self._skip_lame_duck)
        self._in_lame_duck = False

    async def _announce_lame_duck(self, seconds: float) -> None:
        async with asyncio.TaskGroup() as together:
            together.create_task(asyncio.sleep(seconds))
            try:
                complaint = await asyncio.to_thread(
                    nginx.become_lame_duck, self._program, self._directory
                )
            except (OSError, subprocess.SubprocessError) as error:
                complaint = str(error)
            if complaint is None:
                self._processes.nginx.send(nginx.RELOAD)
            else:
                # Without it, clients reuse their connections until nginx stops.
                _log.error("not_reloaded", complaint=complaint)

    async def _drain(self) -> None:
        processes, seconds = self._processes, self._settings.drain_seconds
        # a. nginx closes its ports, and continues its streams. Only then do the workers drain, so
        #    that no accepted request meets a closed worker.
        processes.nginx.stop(nginx.STOP_ACCEPTING)
        await self._ports_closed()
        # b. The workers finish their streams, and cut the rest at the deadline, with error events.
        _log.info("draining", seconds=seconds)
        processes.close_sockets()
        for worker in processes.workers:
            worker.stop(child_commands.DRAIN)
        await self._ended(processes.workers, seconds + self._restart_policy.final_events)
        # c. nginx sends what it has buffered.
        await self._ended([processes.nginx], self._restart_policy.flush)
        _log.info("drained", cut=await self._status.cut_streams())

    async def _end(self) -> None:
        """Stop whatever still runs: by a signal, and a second later by SIGKILL."""
        # Workers first: the error events in their streams pass through nginx.
        for worker in self._processes.workers:
            worker.stop(child_commands.HURRY)
        await self._ended(self._processes.workers, self._restart_policy.stop)
        for monitor in self._monitored:
            # Not SIGTERM, which they all ignore.
            monitor.stop(nginx.STOP)
        await self._ended(self._monitored, self._restart_policy.stop)
        for monitor in self._monitored:
            monitor.kill()
        await asyncio.gather(*self._monitored.values(), return_exceptions=True)

    async def _ended(self, monitors: Iterable[ProcessMonitor], seconds: float) -> None:
        """Wait until all of them have ended, for at most `seconds`."""
        tasks = [self._monitored[monitor] for monitor in monitors if monitor in self._monitored]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)

    async def _ports_closed(self) -> None:
        settings, loop = self._settings, asyncio.get_running_loop()
        deadline = loop.time() + _STOP_ACCEPTING_SECONDS
        while loop.time() < deadline and self._processes.nginx.pid is not None:
            if not await accepts(settings.plain_address, settings.listen_port):
                return
            await asyncio.sleep(0.005)

    async def _until(self, awaited: Coroutine[Any, Any, object], unless: asyncio.Event) -> None:
        """Wait for `awaited`, `unless` is set, or a child that cannot be restarted.

        Raises `StopRequested` and `CannotStart` for the latter two.
        """
        waiting = asyncio.create_task(awaited)
        stopped = asyncio.create_task(unless.wait())
        try:
            while not waiting.done():
                running = {task for task in self._monitored.values() if not task.done()}
                await asyncio.wait(
                    {waiting, stopped} | running, return_when=asyncio.FIRST_COMPLETED
                )
                for task in self._monitored.values():
                    if task.done():
                        task.result()
                if stopped.done():
                    raise StopRequested
            waiting.result()
        finally:
            waiting.cancel()
            stopped.cancel()

    def _start(self, *monitors: ProcessMonitor) -> None:
        for monitor in monitors:
            self._monitored[monitor] = asyncio.create_task(monitor.run(), name=monitor.name)

    async def _open_admin(self) -> Admin:
        # Import in a thread: loading the HTTP server takes a while.
        module = await asyncio.to_thread(import_module, "proxy.appliance.admin")
        secret = self._settings.admin_token
        token = secret.get_secret_value() if secret is not None else ""
        admin: Admin = module.Admin(self._status, self._settings.admin_hosts, token)
        await admin.start(self._settings.admin_address, self._settings.admin_port)
        if not token and not ipaddress.ip_address(self._settings.admin_address).is_loopback:
            _log.warning(
                "admin_port_open",
                address=self._settings.admin_address,
                port=self._settings.admin_port,
                advice="Anyone who can reach it can read metrics and status: restrict it to "
                "Prometheus, or set SLUICE_ADMIN_TOKEN, or SLUICE_ADMIN_ADDRESS=127.0.0.1.",
            )
        return admin

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._on_stop_signal, number)
        loop.add_signal_handler(signal.SIGHUP, self._on_reload_signal)

    def _on_stop_signal(self, number: signal.Signals) -> None:
        _log.info("signal", signal=number.name)
        if self._in_lame_duck and not self._skip_lame_duck.is_set():
            self._skip_lame_duck.set()
        elif self._stop.is_set():
            self._stop_at_once.set()
        self._stop.set()

    def _on_reload_signal(self) -> None:
        self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        if not self._stop.is_set():
            await self._reload_all.reload()


async def _all_ready(monitors: Iterable[ProcessMonitor]) -> None:
    for monitor in monitors:
        await monitor.ready.wait()
