"""One set of metrics from several workers, kept in files of one directory.

Each worker writes files of its own, under its number rather than its process id: a worker that
is started again goes on counting where the last one stopped, so that nothing is lost and the
files do not grow in number. Levels such as streams in flight are forgotten with their worker.
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
from proxy.meter.merge import merge
from proxy.meter.series_file import Files, value_class

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.metrics_core import Metric


def worker_registry(directory: str, worker: int) -> CollectorRegistry:
    """The registry of one worker process; call it once, before any instrument is made.

    No two processes may run under the same number at the same time.
    """
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = directory
    forget_levels(directory, worker)
    files = Files(directory, _name(worker))
    # The library's own way to name processes; its documentation shows this assignment.
    values.ValueClass = value_class(files)
    registry = CollectorRegistry()
    refused = Counter(
        "sluice_metric_series_without_room_total",
        "Time series that found no room in the metrics files; they are shown once there is some.",
        registry=registry,
    )
    files.refused = refused.inc
    return registry


def supervisor_counts(directory: str) -> tuple[Counts, Callable[[], None]]:
    """What the supervisor counts itself, in files beside the workers', and what closes these."""
    files = Files(directory, "supervisor")
    values.ValueClass = value_class(files)
    return Counts(Maker(CollectorRegistry())), files.close


def forget_levels(directory: str, worker: int) -> None:
    """Forget the levels of a worker that died; what it counted stays."""
    mark_process_dead(_name(worker), directory)  # type: ignore[no-untyped-call]


def collect(directory: str, accept: str = "") -> bytes:
    """All workers' metrics as one exposition, in the format that the `Accept` header asks for.

    It reads files and may take tens of milliseconds: not for an event loop.
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
    """The content type of what `collect` gives."""
    return choose_encoder(accept)[1]


def _name(worker: int) -> str:
    return f"worker-{worker}"
