"""The workers' files of one directory as one set of metrics.

What `prometheus_client`'s `MultiProcessCollector.merge` does, for large files: that one parses
the name and labels of every entry of every file, and takes seconds and tens of megabytes where
there are thousands of series. Here equal keys are added up first, unparsed.
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

# By the beginning of a file's name, as `prometheus_client.values.MultiProcessValue` writes it.
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
    """All files as one, each metric once and in the order of its first appearance."""
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
        if not path.stat().st_size:  # A worker has this moment made it.
            return
        entries = MmapedDict.read_all_values_from_file(str(path))  # type: ignore[no-untyped-call]
    except FileNotFoundError:  # The levels of a worker that died have been forgotten meanwhile.
        return
    for key, value, _, _ in entries:
        values[key] = join(values[key], value) if key in values else value


def _histograms(values: dict[str, float], metrics: dict[str, Metric]) -> None:
    """The files hold each bucket's own count and the sum; what is shown is cumulative."""
    buckets: dict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    sums: dict[tuple[str, str, str], float] = {}
    labels_of: dict[str, _Labels] = {}
    for key, value in values.items():
        metric, sample, labels, text = _key.decode(key)
        bound = labels.pop("le", None) if sample.endswith("_bucket") else None
        name = repr(labels)
        labels_of[name] = labels
        if bound is None:
            sums[metric, text, name] = value
        else:
            buckets[metric, text, name].append((float(bound), value))
    for (metric, text, name), counts in buckets.items():
        shown, labels, total = _of(metrics, metric, text, "histogram").samples, labels_of[name], 0.0
        for upper, count in sorted(counts):
            total += count
            le = floatToGoString(upper)  # type: ignore[no-untyped-call]
            shown.append(Sample(f"{metric}_bucket", {**labels, "le": le}, total))
        shown.append(Sample(f"{metric}_count", labels, total))
        shown.append(Sample(f"{metric}_sum", labels, sums.get((metric, text, name), 0.0)))


def _of(metrics: dict[str, Metric], name: str, text: str, form: str) -> Metric:
    if name not in metrics:
        metrics[name] = Metric(name, text, form)
    return metrics[name]
