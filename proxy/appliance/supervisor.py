"""`sluice run`: starts everything, keeps it running, and takes it down in order."""

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

from proxy.appliance import banner, commands, nginx
from proxy.appliance.directory import run_directory
from proxy.appliance.held_files import HeldFiles
from proxy.appliance.http_probe import accepts
from proxy.appliance.monitor import CannotStart, ProcessMonitor
from proxy.appliance.preflight import preflight
from proxy.appliance.processes import Processes, Programs
from proxy.appliance.reload import ApplianceReload
from proxy.appliance.status import ApplianceStatus
from proxy.capacity import sized
from proxy.container import granted
from proxy.meter import logs
from proxy.meter.log_stream import STDOUT

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterable

    from proxy.appliance.admin import Admin
    from proxy.appliance.directory import RunDirectory
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.settings import Settings

_log = structlog.get_logger("appliance")

_STOP_ACCEPTING_SECONDS = 1.0


class ToldToStop(Exception):
    """A signal said so."""


def run(settings: Settings, programs: Callable[[NginxProgram], Programs] = Programs) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit status: 0, or 1 if something cannot start."""
    logs.configure(settings.log_level, settings.log_format)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop_before_the_start)
    as_set, fitting = settings, sized(settings, granted())
    settings = fitting.settings
    try:
        with run_directory() as directory:
            # 1. What is wrong is said before anything runs.
            files = HeldFiles(directory.path)
            chosen = programs(preflight(settings, directory, files))
            _log.info("sized", **fitting.chosen, why=fitting.why)
            for warning in fitting.warnings:
                _log.warning("limits", advice=warning)
            return asyncio.run(Supervisor(settings, directory, chosen, files, as_set).serve())
    except (CannotStart, OSError) as error:
        print(f"sluice: {error}", file=sys.stderr)  # noqa: T201 for whoever started it
        return 1


def _stop_before_the_start(_number: int, _frame: object) -> None:
    # Nothing runs yet, but the run directory has to go.
    sys.exit(0)


class Supervisor:
    """The steps of one run."""

    def __init__(
        self,
        settings: Settings,
        directory: RunDirectory,
        programs: Programs,
        files: HeldFiles,
        at_start: Settings | None = None,
    ) -> None:
        self._settings = settings
        self._directory = directory
        self._program = programs.nginx
        self._restart_policy = programs.restart_policy
        held = files.hold(settings)
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
        self._serving_on = False
        """Whether clients are still served although a signal said stop; `_skip` ends that."""
        self._skip = asyncio.Event()
        self._reloading: asyncio.Task[None] | None = None

    async def serve(self) -> int:
        """Start, keep running, drain, and end. Returns the exit status.

        Raises `CannotStart` with the stderr tail of whatever does not come up.
        """
        self._listen_to_signals()
        await asyncio.to_thread(self._processes.kills.look)
        admin = None
        try:
            # 2. The demo and the workers; they load while the admin port opens.
            self._start(*self._processes.behind_nginx)
            admin = await self._open_admin()
            try:
                await self._come_up()
                # 5. From here on it only ends by a signal, or by a child that is past saving.
                await self._until(asyncio.Event().wait(), self._stop)
            except ToldToStop:
                pass
            await self._lame_duck()
            # 6. Nothing new; what runs goes on for a while.
            self._status.draining = True
            try:
                await self._until(self._drain(), self._stop_at_once)
            except ToldToStop:
                _log.warning("stopping_at_once")
                return 1
            _log.info("stopped")
            return 0
        finally:
            await self._end()
            if admin is not None:
                await admin.close()

    async def _come_up(self) -> None:
        # 3. nginx opens the public ports only when somebody is behind it.
        await self._until(_all_ready(self._processes.behind_nginx), self._stop)
        self._start(self._processes.nginx)
        await self._until(_all_ready([self._processes.nginx]), self._stop)
        # 4. Ready: said to the probes, the log and whoever reads the terminal.
        self._status.came_up = True
        if banner.uses_demo(self._settings):
            _log.warning("demo_upstream", advice="SLUICE_UPSTREAM_URL is not set: no model answers")
        if banner.spends_key_for_anybody(self._settings):
            _log.warning("open_to_anybody", advice=banner.OPEN_TO_ANYBODY)
        _log.info("ready", url=banner.public_url(self._settings), run=str(self._directory.path))
        # For people. Whoever has read enough of it ends nothing.
        STDOUT.write(banner.banner_text(self._settings) + "\n")

    async def _lame_duck(self) -> None:
        """Serve on for a while, and send all who can go elsewhere there.

        Balancers learn only with their next question that this machine is not ready.
        """
        seconds = self._settings.lame_duck_seconds
        if not self._status.came_up or not seconds:
            return
        self._status.lame_duck = self._serving_on = True
        _log.info("lame_duck", seconds=seconds)
        with contextlib.suppress(ToldToStop):
            await self._until(self._send_away(seconds), self._skip)
        self._serving_on = False

    async def _send_away(self, seconds: float) -> None:
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
                # Clients that keep their connections come back on them until nginx closes.
                _log.error("not_reloaded", complaint=complaint)

    async def _drain(self) -> None:
        processes, seconds = self._processes, self._settings.drain_seconds
        # a. nginx closes its ports, and goes on with the streams that it has. The workers hear of
        #    it only then, so that no request that was let in meets a closed worker.
        processes.nginx.stop(nginx.STOP_ACCEPTING)
        await self._ports_closed()
        # b. The workers finish what runs, and at the deadline cut the rest, visibly.
        _log.info("draining", seconds=seconds)
        processes.close_sockets()
        for worker in processes.workers:
            worker.stop(commands.DRAIN)
        await self._ended(processes.workers, seconds + self._restart_policy.final_events)
        # c. The clients take what is still on its way to them.
        await self._ended([processes.nginx], self._restart_policy.flush)
        _log.info("drained", cut=await self._status.cut_streams())

    async def _end(self) -> None:
        """End whatever still runs: politely, and a second later by force."""
        # Workers first: what they say in the streams that they cut goes through nginx.
        for worker in self._processes.workers:
            worker.stop(commands.HURRY)
        await self._ended(self._processes.workers, self._restart_policy.stop)
        for monitor in self._monitored:
            # Not SIGTERM, which is kept from all of them.
            monitor.stop(nginx.STOP)
        await self._ended(self._monitored, self._restart_policy.stop)
        for monitor in self._monitored:
            monitor.kill()
        await asyncio.gather(*self._monitored.values(), return_exceptions=True)

    async def _ended(self, keepers: Iterable[ProcessMonitor], seconds: float) -> None:
        """Wait until all of them have ended, at most so long."""
        tasks = [self._monitored[monitor] for monitor in keepers if monitor in self._monitored]
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
        """Wait for something, unless a signal or a child past saving comes first.

        Raises `ToldToStop` and `CannotStart` for these two.
        """
        waiting = asyncio.create_task(awaited)
        told = asyncio.create_task(unless.wait())
        try:
            while not waiting.done():
                keeping = {task for task in self._monitored.values() if not task.done()}
                await asyncio.wait({waiting, told} | keeping, return_when=asyncio.FIRST_COMPLETED)
                for task in self._monitored.values():
                    if task.done():
                        task.result()
                if told.done():
                    raise ToldToStop
            waiting.result()
        finally:
            waiting.cancel()
            told.cancel()

    def _start(self, *keepers: ProcessMonitor) -> None:
        for monitor in keepers:
            self._monitored[monitor] = asyncio.create_task(monitor.run(), name=monitor.name)

    async def _open_admin(self) -> Admin:
        # Loading the HTTP server takes a while; the children that just started need it too.
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
                advice="Whoever reaches it reads metrics and status without a key: publish it to "
                "nobody but Prometheus, or set SLUICE_ADMIN_TOKEN, or "
                "SLUICE_ADMIN_ADDRESS=127.0.0.1.",
            )
        return admin

    def _listen_to_signals(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._told_to_stop, number)
        loop.add_signal_handler(signal.SIGHUP, self._told_to_reload)

    def _told_to_stop(self, number: signal.Signals) -> None:
        _log.info("signal", signal=number.name)
        if self._serving_on and not self._skip.is_set():
            self._skip.set()
        elif self._stop.is_set():
            self._stop_at_once.set()
        self._stop.set()

    def _told_to_reload(self) -> None:
        self._reloading = asyncio.create_task(self._reload())

    async def _reload(self) -> None:
        if not self._stop.is_set():
            await self._reload_all.reload()


async def _all_ready(keepers: Iterable[ProcessMonitor]) -> None:
    for monitor in keepers:
        await monitor.ready.wait()
