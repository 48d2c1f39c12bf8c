"""What the admin port shows: readiness, status and metrics of the whole."""

from __future__ import annotations

import asyncio
import time
from importlib import import_module
from typing import TYPE_CHECKING

from proxy.appliance.crew import described
from proxy.appliance.keeper import State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from proxy.appliance.crew import Crew
    from proxy.appliance.keeper import Keeper


class Overview:
    """The admin port's view of the supervisor.

    Ready means: everything came up once, nginx answers, at least one worker answers, and nobody
    said stop. One worker that is being restarted does not take the whole machine out of service.
    """

    def __init__(self, crew: Crew, metrics: Path, nginx_version: str) -> None:
        self.came_up = False
        self.draining = False
        self._crew = crew
        self._metrics = metrics
        self._nginx_version = nginx_version
        self._since = time.monotonic()

    def why_not_ready(self) -> str | None:
        """Why new streams should go elsewhere; None when they are welcome."""
        if self.draining:
            return "draining"
        if not self.came_up:
            return "starting"
        return None if self._crew.serving else "not serving"

    async def status(self) -> Mapping[str, object]:
        """Processes, streams in flight and upstreams, summed over the workers."""
        workers = await self._crew.worker_reports()
        upstreams = [worker.pop("upstreams", {}) for worker in workers]
        return {
            "state": self.why_not_ready() or "ready",
            "uptime_seconds": round(time.monotonic() - self._since, 1),
            "streams": sum(worker.get("streams", 0) for worker in workers),
            "waiting": sum(worker.get("waiting", 0) for worker in workers),
            "upstreams": upstreams,
            "workers": workers,
            "nginx": {"version": self._nginx_version, **described(self._crew.nginx)},
            "demo": None if self._crew.demo is None else described(self._crew.demo),
        }

    async def metrics(self) -> bytes:
        """The workers' metrics together, and what the supervisor itself counts."""
        collected = await asyncio.to_thread(_collect, str(self._metrics))
        return collected + _own_metrics(self._crew.all)


def _collect(directory: str) -> bytes:
    # Imported with the first scrape: the start need not wait for it.
    collect = import_module("proxy.meter.multiprocess").collect
    collected: bytes = collect(directory)
    return collected


def _own_metrics(keepers: Iterable[Keeper]) -> bytes:
    """Prometheus's text format is simple enough for two gauges that live in no registry."""
    lines = [
        "# HELP sluice_process_up Whether a process of this machine answers.",
        "# TYPE sluice_process_up gauge",
    ]
    restarts = [
        "# HELP sluice_process_restarts_total Times a process was started again.",
        "# TYPE sluice_process_restarts_total counter",
    ]
    for keeper in keepers:
        label = f'{{process="{keeper.name}"}}'
        lines.append(f"sluice_process_up{label} {int(keeper.state is State.READY)}")
        restarts.append(f"sluice_process_restarts_total{label} {keeper.restarts}")
    return ("\n".join([*lines, *restarts]) + "\n").encode()
