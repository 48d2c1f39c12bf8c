"""Generates docs/metrics.md from the instruments: `python -m proxy.appliance.metrics_table`."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from proxy.appliance.status import _own_metrics
from proxy.generated_docs import update
from proxy.meter.instruments import Instruments, Maker
from proxy.meter.key_instruments import KeyInstruments

BEGIN = "<!-- metrics: made by `python -m proxy.appliance.metrics_table`, not by hand -->"
END = "<!-- metrics: end -->"
_HELP = re.compile(r"# HELP (\S+) (.*)\n# TYPE \S+ (\S+)")


class Described(NamedTuple):
    """One metric, named as in a scrape."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def described() -> list[Described]:
    """Return every metric of the admin port: the workers' by name, then the supervisor's."""
    registry = CollectorRegistry()
    Instruments(registry)
    KeyInstruments(Maker(registry))
    # The library has no public way to list labels and help of metrics without samples.
    collectors = set(registry._collector_to_names)  # noqa: SLF001
    metrics = sorted(
        _described(collector)
        for collector in collectors
        if isinstance(collector, MetricWrapperBase)
    )
    return metrics + _supervisors()


def table() -> str:
    """Build a Markdown table of all metrics."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for metric in described():
        labels = ", ".join(f"`{label}`" for label in metric.labels) or "-"
        rows.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.text} |")
    return "\n".join(rows)


def main(path: str) -> int:
    """Update a file."""
    update(path, BEGIN, END, table())
    return 0


def _described(metric: MetricWrapperBase) -> Described:
    kind = str(metric._type)  # noqa: SLF001
    name = f"{metric._name}" + ("_total" if kind == "counter" else "")  # noqa: SLF001
    return Described(name, kind, tuple(metric._labelnames), str(metric._documentation))  # noqa: SLF001


def _supervisors() -> list[Described]:
    text = _own_metrics([], draining=False, nginx_version="").decode()
    labels = {"sluice_build_info": ("version", "python", "nginx")}
    return [
        Described(
            name,
            kind,
            labels.get(name, ("process",) if name.startswith("sluice_process_") else ()),
            meaning,
        )
        for name, meaning, kind in _HELP.findall(text)
    ]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ("docs/metrics.md",)))
