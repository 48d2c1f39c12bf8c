from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from prometheus_client.multiprocess import MultiProcessCollector

from proxy.meter.merge_metrics import merge
from tests.meter.test_multiprocess import until_counted, worker

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from prometheus_client.metrics_core import Metric

Seen = dict[tuple[str, str, str], float]


def seen(metrics: Iterable[Metric]) -> Seen:
    """Every sample with its metric's type and text."""
    return {
        (
            f"{metric.type} {metric.documentation}",
            sample.name,
            str(sorted(sample.labels.items())),
        ): (sample.value)
        for metric in metrics
        for sample in metric.samples
    }


def test_it_merges_as_the_library_does(tmp_path: Path) -> None:
    """Counters, histograms and levels of three workers, sample for sample."""
    with (
        worker(tmp_path, 0, 5) as a,
        worker(tmp_path, 1, 3) as b,
        worker(tmp_path, 2, 0) as c,
    ):
        for process in (a, b, c):
            until_counted(process)
        files = sorted(tmp_path.glob("*.db"))
        theirs = seen(MultiProcessCollector.merge([str(path) for path in files]))  # type: ignore[no-untyped-call]
        assert seen(merge(files)) == theirs
    assert len(theirs) > 100


def test_samples_of_a_histogram_stand_in_order(tmp_path: Path) -> None:
    """Its buckets rise to +Inf, which is the count."""
    with worker(tmp_path, 0, 2) as process:
        until_counted(process)
    metrics = {metric.name: metric for metric in merge(sorted(tmp_path.glob("*.db")))}
    samples = metrics["sluice_queue_wait_seconds"].samples
    bounds = [float(sample.labels["le"]) for sample in samples if "le" in sample.labels]
    assert bounds == sorted(bounds)
    assert bounds[-1] > sys.float_info.max
    assert [sample.name.rpartition("_")[2] for sample in samples[-3:]] == ["bucket", "count", "sum"]
    assert samples[-3].value == samples[-2].value == 2


def test_files_that_are_empty_or_gone_are_no_error(tmp_path: Path) -> None:
    """A worker begins or has ended meanwhile."""
    (tmp_path / "counter_worker-1.db").touch()
    files = [tmp_path / "counter_worker-1.db", tmp_path / "gauge_livesum_worker-2.db"]
    assert merge(files) == []
