"""The page of metrics, made from the instruments: `python -m proxy.appliance.metrics_table`."""

from __future__ import annotations

import re
import sys
from typing import NamedTuple

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from proxy.appliance.status import _own_metrics
from proxy.generated import put_between, update
from proxy.meter.instruments import Instruments, Maker
from proxy.meter.key_instruments import KeyInstruments

BEGIN = "<!-- metrics: made by `python -m proxy.appliance.metrics_table`, not by hand -->"
END = "<!-- metrics: end -->"
_HELP = re.compile(r"# HELP (\S+) (.*)\n# TYPE \S+ (\S+)")


class Described(NamedTuple):
    """One metric as a scrape names it."""

    name: str
    kind: str
    labels: tuple[str, ...]
    text: str


def described() -> list[Described]:
    """Every metric of the admin port: the workers' in the order of their names, then the rest."""
    registry = CollectorRegistry()
    Instruments(registry)
    KeyInstruments(Maker(registry))
    # The library tells neither labels nor meaning of what has no sample yet.
    collectors = set(registry._collector_to_names)  # noqa: SLF001
    made = sorted(_described(one) for one in collectors if isinstance(one, MetricWrapperBase))
    return made + _supervisors()


def table() -> str:
    """All of them as a Markdown table."""
    rows = ["| metric | kind | labels | meaning |", "|---|---|---|---|"]
    for one in described():
        labels = ", ".join(f"`{label}`" for label in one.labels) or "-"
        rows.append(f"| `{one.name}` | {one.kind} | {labels} | {one.text} |")
    return "\n".join(rows)


def put_into(text: str) -> str:
    """The text with the table between its two marks.

    Raises `ValueError` if the marks are not there.
    """
    return put_between(text, BEGIN, END, table())


def main(path: str) -> int:
    """Bring a file up to date."""
    update(path, BEGIN, END, table())
    return 0


def _described(one: MetricWrapperBase) -> Described:
    kind = str(one._type)  # noqa: SLF001
    name = f"{one._name}" + ("_total" if kind == "counter" else "")  # noqa: SLF001
    return Described(name, kind, tuple(one._labelnames), str(one._documentation))  # noqa: SLF001


def _supervisors() -> list[Described]:
    text = _own_metrics([], draining=False, nginx_version="").decode()
    labels = {"sluice_build_info": ("version", "python", "nginx")}
    return [
        Described(
            name,
            kind,
            labels.get(name, ("process",) if name.startswith("sluice_process_") else ()),
            words,
        )
        for name, words, kind in _HELP.findall(text)
    ]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:] or ("docs/metrics.md",)))
