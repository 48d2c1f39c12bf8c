"""All that the supervisor keeps running: the demo upstream, the workers, nginx."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

import structlog
from pydantic import SecretStr

from proxy import shared_settings
from proxy.appliance import commands, nginx, ports, store_program
from proxy.appliance.banner import uses_demo
from proxy.appliance.child import ProcessSpec
from proxy.appliance.http_probe import ProbeResponse, probe_port, probe_socket
from proxy.appliance.kills import RepeatedKills
from proxy.appliance.ledger import Ledger
from proxy.appliance.lines import to_log
from proxy.appliance.listening import Listening
from proxy.appliance.monitor import CannotStart, ProcessMonitor, ProcessState, RestartPolicy
from proxy.appliance.nginx_log import NginxLog
from proxy.appliance.turning_away import TurningAway
from proxy.appliance.worker_queue import has_passed
from proxy.container import oom_kills
from proxy.state.ping import ping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from proxy.appliance.directory import RunDirectory
    from proxy.appliance.monitor import Run
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.settings import Settings

_PROBE_SECONDS = 2.0
_log = structlog.get_logger("appliance")


@dataclass(frozen=True, slots=True)
class Programs:
    """What is run as what; tests put others in."""

    nginx: NginxProgram
    worker: Callable[[Path, int, int], list[str]] = commands.worker
    demo: Callable[[int], list[str]] = commands.demo
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)


class Processes:
    """One monitor for each process.

    Raises `CannotStart` where a store is needed and there is no program for one.
    """

    def __init__(self, settings: Settings, run: RunDirectory, programs: Programs) -> None:
        self._settings = settings
        self._run = run
        self._programs = programs
        self._ledger = Ledger(run.metrics, self._has_passed)
        self._extra = {"PROMETHEUS_MULTIPROC_DIR": str(run.metrics), **_sizes(settings)}
        self._shared = os.memfd_create("sluice-settings")
        self._generation = -1
        self.kills = RepeatedKills(oom_kills)
        self.reductions: list[str] = []
        """What was given up because workers were killed again and again."""
        self._away: dict[ProcessMonitor, asyncio.TimerHandle] = {}
        """Of the workers that are away: when those who wait for them are told to try again."""
        self._turn_away = TurningAway(self._ledger, settings.paths)
        self._sockets = tuple(self._listening(index) for index in range(settings.workers))
        self.demo = self._demo_monitor() if uses_demo(settings) else None
        self.store = self._store_keeper() if store_program.wanted(settings) else None
        self.workers = tuple(self._worker_monitor(index) for index in range(settings.workers))
        self.nginx = self._nginx_monitor()
        self.hand_over(settings)

    @property
    def behind_nginx(self) -> tuple[ProcessMonitor, ...]:
        """All that must answer before nginx opens the public ports."""
        return (*(one for one in (self.demo, self.store) if one is not None), *self.workers)

    @property
    def all(self) -> tuple[ProcessMonitor, ...]:
        """Every monitor."""
        return (*self.behind_nginx, self.nginx)

    @property
    def serving(self) -> bool:
        """Whether a client that comes now meets nginx and, behind it, a worker."""
        return self.nginx.state is ProcessState.READY and self.worker_serving()

    def worker_serving(self) -> bool:
        """Whether at least one worker answers."""
        return any(worker.state is ProcessState.READY for worker in self.workers)

    def hand_over(self, settings: Settings) -> int:
        """Have these settings ready for the workers, now and when they start; their number."""
        self._generation += 1
        # What the supervisor itself has started stands in for what nobody has set.
        update: dict[str, Any] = {}
        if self.demo is not None and uses_demo(settings):
            update["upstream_url"] = self._extra["SLUICE_UPSTREAM_URL"]
        if self.store is not None and settings.store_url is None:
            update["store_url"] = SecretStr(self._extra["SLUICE_STORE_URL"])
        shared_settings.write(self._shared, self._generation, settings.model_copy(update=update))
        return self._generation

    def close_sockets(self) -> None:
        """Own the workers' sockets no longer: nobody is going to be started again."""
        for one in self._sockets:
            one.close()

    async def worker_reports(self) -> list[dict[str, Any]]:
        """What each worker says of itself, with what its monitor knows."""
        return list(await asyncio.gather(*map(self._report, range(len(self.workers)))))

    async def _report(self, index: int) -> dict[str, Any]:
        socket = str(self._sockets[index].path)
        response = await probe_socket(socket, "/internal/status", seconds=_PROBE_SECONDS)
        said = json.loads(response.body) if response is not None and response.status == 200 else {}
        return {"index": index, **said, **described(self.workers[index])}

    def _listening(self, index: int) -> Listening:
        # nginx, as nobody, must be able to connect; the directory around it is private.
        mode = 0o666 if self._run.nginx_user else 0o600
        return Listening(self._run.worker_socket(index), mode=mode)

    def _direct(self) -> None:
        """Send what is new to the workers that are ready; where none is, it waits in their lines.

        Not for ever: after the queue's time those who wait for a worker that is still away are
        told to try again.
        """
        anybody = self.worker_serving()
        for worker, listening in zip(self.workers, self._sockets, strict=True):
            if worker.given_up:
                listening.show(False)
                self._turn_away(listening)
                continue
            listening.show(worker.state is ProcessState.READY or not anybody)
            if worker.state is ProcessState.READY:
                if worker in self._away:
                    self._away.pop(worker).cancel()
            elif worker not in self._away and worker.ready.is_set():
                self._let_wait(worker, listening)

    def _let_wait(self, worker: ProcessMonitor, listening: Listening) -> None:
        def turn_away() -> None:
            self._turn_away(listening)
            self._let_wait(worker, listening)

        seconds = self._settings.queue_timeout_seconds
        self._away[worker] = asyncio.get_running_loop().call_later(seconds, turn_away)

    def _demo_monitor(self) -> ProcessMonitor:
        port = ports.free_port()
        self._extra["SLUICE_UPSTREAM_URL"] = f"http://127.0.0.1:{port}/v1"
        said = to_log("demo")
        spec = ProcessSpec(
            "demo",
            self._programs.demo(port),
            environment=commands.environment(),
            # It ends after the streams that it answers.
            deaf=True,
            out=said,
            err=said,
        )
        return self._monitor(spec, lambda: _probe_port("127.0.0.1", port, "/v1/models"))

    def _store_keeper(self) -> ProcessMonitor | None:
        socket, said = self._run.store_socket, to_log("store")
        try:
            program = store_program.find()
        except store_program.NoStore as error:
            if store_program.needed(self._settings):
                raise CannotStart(str(error)) from None
            _log.warning("streams_not_resumable", advice=store_program.NOT_RESUMABLE)
            return None
        self._extra["SLUICE_STORE_URL"] = f"unix://{socket}"
        spec = ProcessSpec(
            "store",
            store_program.command(program, socket, self._settings.store_memory_bytes),
            deaf=True,
            out=said,
            err=said,
        )

        async def question() -> ProbeResponse | None:
            return ProbeResponse(200, b"") if await ping(str(socket), _PROBE_SECONDS) else None

        # Once it has been there, its deaths end nobody else: it is only started again.
        return self._monitor(spec, question, has_spare=self._store_was_there)

    def _store_was_there(self) -> bool:
        return self.store is not None and self.store.ready.is_set()

    def _worker_monitor(self, index: int) -> ProcessMonitor:
        listening = self._sockets[index]
        environment = commands.environment(**self._extra)
        for name in self._extra:
            # What it held is known, and two words on one setting would be a mistake.
            environment.pop(f"{name}_FILE", None)
        spec = ProcessSpec(
            f"worker-{index}",
            self._programs.worker(listening.path, index, self._settings.workers),
            environment=environment,
            # nginx, as nobody, must be able to connect; the directory around it is private.
            umask=0o000 if self._run.nginx_user else 0o077,
            listening=listening,
            settings=self._shared,
        )
        return self._monitor(
            spec,
            lambda: probe_socket(str(listening.path), "/readyz", seconds=_PROBE_SECONDS),
            has_spare=self.worker_serving,
            gives_up=lambda run: self._gives_up(index, run, environment),
            on_exit=lambda: self._forget_levels(index),
            changed=self._direct,
        )

    def _gives_up(self, index: int, run: Run, environment: dict[str, str]) -> bool:
        """Whether a worker that has died is not started again, so that its siblings may live.

        The last one is, with half the slots.
        """
        if not self.kills.died(index, run):
            return False
        running = sum(not worker.given_up for worker in self.workers)
        advice = "Raise the memory limit, or lower SLUICE_WORKERS or SLUICE_MAX_STREAMS."
        if running > 1:
            self.reductions.append(f"worker-{index} is not started again")
            _log.error("fewer_workers", process=f"worker-{index}", left=running - 1, advice=advice)
            return True
        slots = int(environment.get("SLUICE_MAX_STREAMS", self._settings.max_streams))
        # Its own share is what is halved, and shares are parts of the whole.
        halved = max(self._settings.workers, slots // 2)
        if halved < slots:
            environment["SLUICE_MAX_STREAMS"] = str(halved)
            own = halved // self._settings.workers
            self.reductions.append(f"worker-{index} has {own} slots")
            _log.error("fewer_slots", process=f"worker-{index}", slots=own, advice=advice)
        return False

    def _nginx_monitor(self) -> ProcessMonitor:
        settings = self._settings
        log = NginxLog(for_people=settings.log_format == "console", told=self._ledger.saw)
        spec = nginx.process_spec(self._programs.nginx, self._run, log)
        return self._monitor(
            spec,
            lambda: _probe_port(
                settings.plain_address,
                settings.listen_port,
                "/healthz",
                proxy_protocol=settings.proxy_protocol,
            ),
            on_exit=lambda: asyncio.to_thread(log.flush),
        )

    def _monitor(
        self, spec: ProcessSpec, probe: Callable[[], Awaitable[ProbeResponse | None]], **more: Any
    ) -> ProcessMonitor:
        return ProcessMonitor(spec, probe, restart_policy=self._programs.restart_policy, **more)

    async def _forget_levels(self, index: int) -> None:
        """What a dead worker had in flight is in flight no more; what it counted stays."""
        await asyncio.to_thread(_forget_levels, str(self._run.metrics), index)
        await asyncio.to_thread(self._ledger.buried, index)
        await asyncio.to_thread(self.kills.look)

    def _has_passed(self, index: int) -> bool:
        """Whether a worker has begun with all that had been sent to it; asked by the ledger."""
        return self.workers[index].given_up or has_passed(self._sockets[index].path)


def _sizes(settings: Settings) -> dict[str, str]:
    """What was chosen for all, so that no worker chooses anew."""
    names = ("max_streams", "queue_size", "body_memory_bytes")
    return {f"SLUICE_{name.upper()}": str(getattr(settings, name)) for name in names}


def described(monitor: ProcessMonitor) -> dict[str, object]:
    """What a monitor knows, ready for JSON."""
    return {"pid": monitor.pid, "state": monitor.state.value, "restarts": monitor.restarts}


async def _probe_port(
    address: str, port: int, route: str, *, proxy_protocol: bool = False
) -> ProbeResponse | None:
    return await probe_port(
        address, port, route, seconds=_PROBE_SECONDS, proxy_protocol=proxy_protocol
    )


def _forget_levels(directory: str, index: int) -> None:
    # Slow to load, and not needed to start.
    import_module("proxy.meter.multiprocess").forget_levels(directory, index)
