"""Shares one set of metrics between several workers, through files in one directory.

Each worker writes its own files, named by its number instead of its process id: a restarted worker
continues the counters of its predecessor, so that nothing is lost and the number of files is
constant. Gauges such as streams in flight are dropped when their worker dies.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, values
from prometheus_client.exposition import choose_encoder
from prometheus_client.multiprocess import mark_process_dead
from prometheus_client.registry import Collector

from proxy.meter.instruments import Counts, Maker
from proxy.meter.merge_metrics import merge
from proxy.meter.series_file import Files, value_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric


def worker_registry(directory: str, worker: int) -> CollectorRegistry:
    """Create the registry of one worker process; call it once, before creating instruments.

    No two running processes may have the same number.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    forget_levels(directory, worker)
    files = Files(directory, _name(worker))
    # The library's documented way to set the process identifier.
    values.ValueClass = value_class(files)
    registry = CollectorRegistry()
    refused = Counter(
        "sluice_metric_series_without_room_total",
        "Time series that did not fit into the metrics files; they appear once there is room.",
        registry=registry,
    )
    files.refused = refused.inc
    return registry


def supervisor_counts(directory: str) -> tuple[Counts, Callable[[], None]]:
    """Create the supervisor's own counters in files of their own; return them and a closer."""
    files = Files(directory, "supervisor")
    values.ValueClass = value_class(files)
    return Counts(Maker(CollectorRegistry())), files.close


def forget_levels(directory: str, worker: int) -> None:
    """Drop the gauges of a dead worker; its counters stay."""
    mark_process_dead(_name(worker), directory)  # type: ignore[no-untyped-call]


def collect(directory: str, accept: str = "") -> bytes:
    """Return all workers' metrics in the format that the `Accept` header asks for.

    It reads files for up to tens of milliseconds: call it outside the event loop.
    """
    registry = CollectorRegistry()
    registry.register(_Files(directory))
    encode, _ = choose_encoder(accept)
    return encode(registry)


class _Files(Collector):
    """The workers' files, merged."""

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def collect(self) -> Iterable[Metric]:
        return merge(sorted(self._directory.glob("*.db")))


def content_type(accept: str = "") -> str:
    """Return the content type of what `collect` returns."""
    return choose_encoder(accept)[1]


def _name(worker: int) -> str:
    return f"worker-{worker}"
