"""The readiness, status and metrics of the whole appliance, for the admin port."""

from __future__ import annotations

import asyncio
import platform
import time
from collections import Counter
from importlib import import_module
from itertools import chain
from typing import TYPE_CHECKING, Any

from proxy.appliance import recent_status
from proxy.appliance.monitor import ProcessState
from proxy.meter import recent_warnings
from proxy.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from proxy.appliance.monitor import ProcessMonitor
    from proxy.appliance.processes import Processes


class ApplianceStatus:
    """The admin port's view of the supervisor.

    Ready means: every process was ready once, nginx and at least one worker answer, and no signal
    to stop was received. A worker that is being restarted does not make the machine not ready.
    """

    def __init__(
        self,
        processes: Processes,
        metrics: Path,
        nginx_version: str,
        latest_reload: Callable[[], dict[str, object] | None] = lambda: None,
        certificate_end: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.came_up = False
        self.lame_duck = False
        """Whether clients are still served although readiness reports otherwise."""
        self.draining = False
        self._processes = processes
        self._metrics = metrics
        self._nginx_version = nginx_version
        self._latest_reload = latest_reload
        self._certificate_end = certificate_end
        self._since = time.monotonic()
        self._collecting: asyncio.Task[bytes] | None = None

    def why_not_ready(self) -> str | None:
        """Return why new streams are not accepted; None if they are."""
        if self.draining:
            return "draining"
        if self.lame_duck:
            return "lame duck"
        if not self.came_up:
            return "starting"
        return None if self._processes.serving else "not serving"

    async def status(self) -> Mapping[str, object]:
        """Return the status document, summed over the workers."""
        workers = await self._processes.worker_reports()
        upstreams = [worker.pop("upstreams", []) for worker in workers]
        recent = [worker.pop("recent", {}) for worker in workers]
        warnings = [recent_warnings.latest(), *(worker.pop("warnings", []) for worker in workers)]
        keys = [worker.pop("keys", {}) for worker in workers]
        return {
            "version": VERSION,
            "state": self.why_not_ready() or "ready",
            "uptime_seconds": round(time.monotonic() - self._since, 1),
            "streams": sum(worker.get("streams", 0) for worker in workers),
            "slots": sum(worker.get("slots", 0) for worker in workers),
            "waiting": sum(worker.get("waiting", 0) for worker in workers),
            "recent": recent_status.merge(recent),
            "upstreams": merged(upstreams),
            "workers": workers,
            "reload": self._latest_reload(),
            "reductions": self._processes.reductions,
            "nginx": {"version": self._nginx_version, **self._processes.nginx.status()},
            "demo": None if self._processes.demo is None else self._processes.demo.status(),
            "store": None if self._processes.store is None else self._processes.store.status(),
            "limits_checked": _limits_checked(workers),
            # Only one worker reads the store.
            "keys": next(filter(None, keys), {}),
            "warnings": _newest(chain.from_iterable(warnings)),
        }

    async def metrics(self) -> bytes:
        """Return the workers' merged metrics and the supervisor's own."""
        # A collection takes 0.1 s of CPU: concurrent scrapes share it.
        if self._collecting is None or self._collecting.done():
            collecting = asyncio.to_thread(_collect, str(self._metrics))
            self._collecting = asyncio.create_task(collecting)
        own = _own_metrics(
            self._processes.all,
            draining=self.draining or self.lame_duck,
            nginx_version=self._nginx_version,
            reductions=len(self._processes.reductions),
            certificate_end=self._certificate_end(),
        )
        return await asyncio.shield(self._collecting) + own

    async def cut_streams(self) -> int:
        """Return how many requests were cut by a drain."""
        return await asyncio.to_thread(_cut_streams, str(self._metrics))


def _newest(warnings: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(warnings, key=lambda warning: str(warning["at"]), reverse=True)[
        : recent_warnings.MAX_WARNINGS
    ]


def _limits_checked(workers: Iterable[Mapping[str, Any]]) -> bool | None:
    """Whether every worker reaches the store; None if no key has a limit."""
    checked = [limits["limits_checked"] for worker in workers if (limits := worker.get("limits"))]
    return all(checked) if checked else None


def merged(upstreams: Iterable[Iterable[Mapping[str, Any]]]) -> dict[str, dict[str, object]]:
    """Merge the workers' views of each upstream, by name.

    Each worker judges an upstream by its own requests, so `states` counts the workers per state.
    """
    views: dict[str, list[Mapping[str, Any]]] = {}
    for upstream in chain.from_iterable(upstreams):
        views.setdefault(upstream["name"], []).append(upstream)
    return {
        name: {
            "states": dict(Counter(view["state"] for view in views_of_one)),
            "streams": sum(view["streams"] for view in views_of_one),
            "failures_in_a_row": max(view["failures_in_a_row"] for view in views_of_one),
            "back_in_seconds": max(view["back_in_seconds"] for view in views_of_one),
            "benched_for_seconds": max(view["benched_for_seconds"] for view in views_of_one),
            "last_failure": next(
                filter(None, (view.get("last_failure") for view in views_of_one)), ""
            ),
        }
        for name, views_of_one in views.items()
    }


def _collect(directory: str) -> bytes:
    # Imported with the first scrape, to keep the start fast.
    collect = import_module("proxy.meter.multiprocess").collect
    collected: bytes = collect(directory)
    return collected


def _cut_streams(directory: str) -> int:
    read = import_module("prometheus_client.parser").text_string_to_metric_families
    samples = (sample for family in read(_collect(directory).decode()) for sample in family.samples)
    return sum(
        int(sample.value)
        for sample in samples
        if sample.name == "sluice_requests_total" and sample.labels["ended_by"] == "drained"
    )


def _own_metrics(
    monitors: Iterable[ProcessMonitor],
    *,
    draining: bool,
    nginx_version: str,
    reductions: int = 0,
    certificate_end: float | None = None,
) -> bytes:
    """Format the supervisor's own metrics, which are in no registry."""
    runs = {"version": VERSION, "python": platform.python_version(), "nginx": nginx_version}
    labels = ",".join(f'{name}="{value}"' for name, value in runs.items())
    lines = [
        "# HELP sluice_build_info Always 1; the labels are the versions.",
        "# TYPE sluice_build_info gauge",
        f"sluice_build_info{{{labels}}} 1",
        "# HELP sluice_draining 1 from the signal to stop on, until the last process has ended.",
        "# TYPE sluice_draining gauge",
        f"sluice_draining {int(draining)}",
        "# HELP sluice_reductions_total Times workers or slots were given up after repeated kills.",
        "# TYPE sluice_reductions_total counter",
        f"sluice_reductions_total {reductions}",
        *_certificate(certificate_end),
        "# HELP sluice_process_up Whether a process of this machine answers.",
        "# TYPE sluice_process_up gauge",
    ]
    restarts = [
        "# HELP sluice_process_restarts_total Times a process was started again.",
        "# TYPE sluice_process_restarts_total counter",
    ]
    for monitor in monitors:
        label = f'{{process="{monitor.name}"}}'
        if not monitor.given_up:
            lines.append(f"sluice_process_up{label} {int(monitor.state is ProcessState.READY)}")
        restarts.append(f"sluice_process_restarts_total{label} {monitor.restarts}")
    return ("\n".join([*lines, *restarts]) + "\n").encode()


def _certificate(end: float | None) -> list[str]:
    """Format the expiry; without TLS there is no sample, so that no alert sees 1970."""
    name = "sluice_tls_certificate_expiry_timestamp_seconds"
    head = [
        f"# HELP {name} When the certificate that nginx serves expires, in Unix time.",
        f"# TYPE {name} gauge",
    ]
    return head if end is None else [*head, f"{name} {end:.0f}"]
