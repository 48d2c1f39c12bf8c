"""The supervisor's processes: the demo upstream, the store, the workers and nginx."""

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
from proxy.appliance import child_commands, nginx, ports, store_program
from proxy.appliance.accept_queue_probe import has_started_all
from proxy.appliance.banner import uses_demo
from proxy.appliance.child import ProcessSpec
from proxy.appliance.http_probe import ProbeResponse, probe_port, probe_socket
from proxy.appliance.line_reader import to_log
from proxy.appliance.monitor import CannotStart, ProcessMonitor, ProcessState, RestartPolicy
from proxy.appliance.nginx_log import NginxLog
from proxy.appliance.repeated_kills import RepeatedKills
from proxy.appliance.uncounted_requests import UncountedRequests
from proxy.appliance.worker_sockets import WorkerSockets
from proxy.container_limits import oom_kills
from proxy.state.ping import ping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from proxy.appliance.monitor import Run
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.run_directory import RunDirectory
    from proxy.settings import Settings

_PROBE_SECONDS = 2.0
_log = structlog.get_logger("appliance")


@dataclass(frozen=True, slots=True)
class Programs:
    """The programs to run; tests replace them."""

    nginx: NginxProgram
    worker: Callable[[Path, int, int], list[str]] = child_commands.worker
    demo: Callable[[int], list[str]] = child_commands.demo
    restart_policy: RestartPolicy = field(default_factory=RestartPolicy)


class Processes:
    """The monitors of all processes.

    Raises `CannotStart` if a store is needed and no program for one is installed.
    """

    def __init__(self, settings: Settings, run: RunDirectory, programs: Programs) -> None:
        self._settings = settings
        self._run = run
        self._programs = programs
        self._uncounted = UncountedRequests(run.metrics, self._has_started_all)
        self._extra = {"PROMETHEUS_MULTIPROC_DIR": str(run.metrics), **_sizes(settings)}
        self._shared = os.memfd_create("sluice-settings")
        self._generation = -1
        self.kills = RepeatedKills(oom_kills)
        self.reductions: list[str] = []
        """The reductions made because workers were killed repeatedly, as text."""
        self._sockets = WorkerSockets(run, settings, self._uncounted)
        self.demo = self._demo_monitor() if uses_demo(settings) else None
        self.store = self._store_monitor() if store_program.wanted(settings) else None
        self.workers = tuple(self._worker_monitor(index) for index in range(settings.workers))
        self.nginx = self._nginx_monitor()
        self.hand_over(settings)

    @property
    def behind_nginx(self) -> tuple[ProcessMonitor, ...]:
        """The processes that must answer before nginx opens the public ports."""
        return (
            *(monitor for monitor in (self.demo, self.store) if monitor is not None),
            *self.workers,
        )

    @property
    def all(self) -> tuple[ProcessMonitor, ...]:
        """Every monitor."""
        return (*self.behind_nginx, self.nginx)

    @property
    def serving(self) -> bool:
        """Whether nginx and at least one worker are ready."""
        return self.nginx.state is ProcessState.READY and self.worker_serving()

    def worker_serving(self) -> bool:
        """Whether at least one worker is ready."""
        return any(worker.state is ProcessState.READY for worker in self.workers)

    def hand_over(self, settings: Settings) -> int:
        """Publish settings to the workers, running and future ones. Return their generation."""
        self._generation += 1
        # Fill in the URLs of the demo upstream and of the embedded store.
        update: dict[str, Any] = {}
        if self.demo is not None and uses_demo(settings):
            update["upstream_url"] = self._extra["SLUICE_UPSTREAM_URL"]
        if self.store is not None and settings.store_url is None:
            update["store_url"] = SecretStr(self._extra["SLUICE_STORE_URL"])
        shared_settings.write(self._shared, self._generation, settings.model_copy(update=update))
        return self._generation

    def close_sockets(self) -> None:
        """Close the workers' sockets, as no worker will be restarted."""
        self._sockets.close()

    async def worker_reports(self) -> list[dict[str, Any]]:
        """Return each worker's own status, with its monitor's."""
        return list(await asyncio.gather(*map(self._report, range(len(self.workers)))))

    async def _report(self, index: int) -> dict[str, Any]:
        socket = str(self._sockets[index].path)
        response = await probe_socket(socket, "/internal/status", seconds=_PROBE_SECONDS)
        report = (
            json.loads(response.body) if response is not None and response.status == 200 else {}
        )
        return {"index": index, **report, **self.workers[index].status()}

    def _route_new_connections(self) -> None:
        self._sockets.route_new_connections(self.workers)

    def _demo_monitor(self) -> ProcessMonitor:
        port = ports.free_port()
        self._extra["SLUICE_UPSTREAM_URL"] = f"http://127.0.0.1:{port}/v1"
        log_lines = to_log("demo")
        spec = ProcessSpec(
            "demo",
            self._programs.demo(port),
            environment=child_commands.environment(),
            # It must outlive the streams that it answers.
            ignores_sigterm=True,
            out=log_lines,
            err=log_lines,
        )
        return self._monitor(spec, lambda: _probe_port("127.0.0.1", port, "/v1/models"))

    def _store_monitor(self) -> ProcessMonitor | None:
        socket, log_lines = self._run.store_socket, to_log("store")
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
            ignores_sigterm=True,
            out=log_lines,
            err=log_lines,
        )

        async def probe() -> ProbeResponse | None:
            return ProbeResponse(200, b"") if await ping(str(socket), _PROBE_SECONDS) else None

        # Once it has been ready, its failures do not end the run: it is only restarted.
        return self._monitor(spec, probe, has_spare=self._store_was_there)

    def _store_was_there(self) -> bool:
        return self.store is not None and self.store.ready.is_set()

    def _worker_monitor(self, index: int) -> ProcessMonitor:
        listening = self._sockets[index]
        environment = child_commands.environment(**self._extra)
        for name in self._extra:
            # A setting and its `_FILE` together would be rejected.
            environment.pop(f"{name}_FILE", None)
        spec = ProcessSpec(
            f"worker-{index}",
            self._programs.worker(listening.path, index, self._settings.workers),
            environment=environment,
            # nginx, as user nobody, must be able to connect; the directory is private.
            umask=0o000 if self._run.nginx_user else 0o077,
            listening=listening,
            settings=self._shared,
        )
        return self._monitor(
            spec,
            lambda: probe_socket(str(listening.path), "/readyz", seconds=_PROBE_SECONDS),
            has_spare=self.worker_serving,
            gives_up=lambda run: self._give_up_worker(index, run, environment),
            on_exit=lambda: self._clean_up_worker(index),
            changed=self._route_new_connections,
        )

    def _give_up_worker(self, index: int, run: Run, environment: dict[str, str]) -> bool:
        """Decide after repeated kills not to restart a worker, so that the others have its memory.

        The last worker is restarted with half the slots instead.
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
        # The setting is the sum over all workers, so halving it halves this worker's share.
        halved = max(self._settings.workers, slots // 2)
        if halved < slots:
            environment["SLUICE_MAX_STREAMS"] = str(halved)
            own = halved // self._settings.workers
            self.reductions.append(f"worker-{index} has {own} slots")
            _log.error("fewer_slots", process=f"worker-{index}", slots=own, advice=advice)
        return False

    def _nginx_monitor(self) -> ProcessMonitor:
        settings = self._settings
        log = NginxLog(
            for_people=settings.log_format == "console", on_access=self._uncounted.read_access_line
        )
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

    async def _clean_up_worker(self, index: int) -> None:
        """Reset a dead worker's gauges and record its requests in flight; its counters stay."""
        await asyncio.to_thread(_forget_levels, str(self._run.metrics), index)
        await asyncio.to_thread(self._uncounted.worker_died, index)
        await asyncio.to_thread(self.kills.look)

    def _has_started_all(self, index: int) -> bool:
        """Whether a worker has started all requests sent to it so far, for `UncountedRequests`."""
        return self.workers[index].given_up or has_started_all(self._sockets[index].path)


def _sizes(settings: Settings) -> dict[str, str]:
    """Return the settings that sizing has chosen for all workers together."""
    names = ("max_streams", "queue_size", "body_memory_bytes")
    return {f"SLUICE_{name.upper()}": str(getattr(settings, name)) for name in names}


async def _probe_port(
    address: str, port: int, route: str, *, proxy_protocol: bool = False
) -> ProbeResponse | None:
    return await probe_port(
        address, port, route, seconds=_PROBE_SECONDS, proxy_protocol=proxy_protocol
    )


def _forget_levels(directory: str, index: int) -> None:
    # Imported late: slow to load, and not needed to start.
    import_module("proxy.meter.multiprocess").forget_levels(directory, index)
