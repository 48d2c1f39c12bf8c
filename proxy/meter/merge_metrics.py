"""Merges the workers' metrics files into one set of metrics.

A faster `MultiProcessCollector.merge` of `prometheus_client`: that one parses the name and labels
of every entry of every file, which takes seconds and tens of megabytes with thousands of series.
Here equal keys are summed first, unparsed.
"""

from __future__ import annotations

from collections import defaultdict
from operator import add
from typing import TYPE_CHECKING

import msgspec
from prometheus_client.metrics_core import Metric
from prometheus_client.mmap_dict import MmapedDict
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_Labels = dict[str, str]
_Merge = tuple[str, "Callable[[float, float], float]"]

# By the prefix of a file's name, as `prometheus_client.values.MultiProcessValue` writes it.
_KINDS: dict[str, _Merge] = {
    "counter": ("counter", add),
    "histogram": ("histogram", add),
    "gauge_livesum": ("gauge", add),
    "gauge_livemin": ("gauge", min),
    "gauge_livemax": ("gauge", max),
}
# [metric's name, sample's name, labels, help]: `prometheus_client.mmap_dict.mmap_key`.
_key = msgspec.json.Decoder(tuple[str, str, _Labels, str])


def merge(files: Iterable[Path]) -> list[Metric]:
    """Merge the files; metrics are in the order of their first appearance."""
    added: dict[str, dict[str, float]] = {kind: {} for kind in _KINDS}
    for path in files:
        kind = path.name.rpartition("_")[0]
        _add(path, added[kind], _KINDS[kind][1])
    metrics: dict[str, Metric] = {}
    for kind, values in added.items():
        form, _ = _KINDS[kind]
        if form == "histogram":
            _histograms(values, metrics)
            continue
        for key, value in values.items():
            metric, sample, labels, text = _key.decode(key)
            _of(metrics, metric, text, form).samples.append(Sample(sample, labels, value))
    return list(metrics.values())


def _add(path: Path, values: dict[str, float], join: Callable[[float, float], float]) -> None:
    try:
        if not path.stat().st_size:  # A worker has just created it.
            return
        entries = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    except FileNotFoundError:  # The gauges of a dead worker were removed meanwhile.
        return
    for key, value, _, _ in entries:
        values[key] = join(values[key], value) if key in values else value


def _histograms(values: dict[str, float], metrics: dict[str, Metric]) -> None:
    """Convert the files' counts per bucket into cumulative ones."""
    buckets: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    sums: dict[tuple[str, str, str], float] = {}
    labels_of: dict[str, _Labels] = {}
    for key, value in values.items():
        metric, sample, labels, text = _key.decode(key)
        bound = labels.pop("le", None) if sample.endswith("_bucket") else None
        label_key = repr(labels)
        labels_of[label_key] = labels
        if bound is None:
            sums[metric, text, label_key] = value
        else:
            buckets[metric, text, label_key].append((float(bound), value))
    for (metric, text, label_key), counts in buckets.items():
        samples, labels, total = (
            _of(metrics, metric, text, "histogram").samples,
            labels_of[label_key],
            0.0,
        )
        for upper, count in sorted(counts):
            total += count
            le = floatToGoString(upper)  # type: ignore[no-untyped-call]
            samples.append(Sample(f"{metric}_bucket", {**labels, "le": le}, total))
        samples.append(Sample(f"{metric}_count", labels, total))
        samples.append(Sample(f"{metric}_sum", labels, sums.get((metric, text, label_key), 0.0)))


def _of(metrics: dict[str, Metric], name: str, text: str, form: str) -> Metric:
    if name not in metrics:
        metrics[name] = Metric(name, text, form)
    return metrics[name]
