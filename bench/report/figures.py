"""Which figures the report shows, and how each is read out of the raw runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from bench.measure.figures import Summary, summarise

UNIT_CONTESTANT = "nginx"
"""Ratios and differences are against this contestant in the same round."""

RawRun = Mapping[str, Any]
Form = Literal["value", "ratio", "difference"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One column: which scenario's which figure, in what form and unit."""

    key: str
    scenario: str
    path: str
    title: str
    form: Form = "value"
    scale: float = 1.0
    digits: int = 2
    unit: str = ""


FIGURES: dict[str, Figure] = {
    figure.key: figure
    for figure in (
        Figure("cpu10", "tokens-10", "cpu_us_per_token", "CPU/token, 10 streams", "ratio"),
        Figure("cpu50", "tokens-50", "cpu_us_per_token", "CPU/token, 50 streams", "ratio"),
        Figure("cpu200", "tokens-200", "cpu_us_per_token", "CPU/token, 200 streams", "ratio"),
        Figure("us50", "tokens-50", "cpu_us_per_token", "µs/token, 50 streams", digits=1),
        Figure("us200", "tokens-200", "cpu_us_per_token", "µs/token, 200 streams", digits=1),
        Figure("ttft50", "first-token", "added_us.p50", "TTFT p50", "difference", 0.001, 2, "ms"),
        Figure("ttft99", "first-token", "added_us.p99", "TTFT p99", "difference", 0.001, 2, "ms"),
        Figure("delay50", "tokens-200", "delay_us.p50", "delay/token p50", scale=0.001, unit="ms"),
        Figure("delay99", "tokens-200", "delay_us.p99", "delay/token p99", scale=0.001, unit="ms"),
        Figure("delay99x", "tokens-200", "delay_us.p99", "delay p99 over nginx", "ratio"),
        Figure("kib", "memory", "bytes_per_stream", "memory/stream", "value", 1 / 1024, 1, "KiB"),
        Figure("crowd", "ten-thousand", "late_us.p99", "10,000: late p99", "value", 0.001, 1, "ms"),
        Figure("rps", "plain", "requests_per_second", "plain requests/s", digits=0),
        Figure("request", "plain", "cpu_us_per_request", "CPU/request", "ratio"),
        Figure("cold", "cold-start", "ready_seconds", "cold start", unit="s"),
    )
}


def read(figures: Mapping[str, Any], path: str) -> float | None:
    """The value under a dotted path; None where there is none."""
    value: Any = figures
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            return None
        value = value[name]
    return None if value is None else float(value)


def summary(figure: Figure, contestant: str, runs: Iterable[RawRun]) -> Summary | None:
    """The figure over all rounds in which it, and what it is compared with, was measured."""
    own: dict[int, float] = {}
    unit: dict[int, float] = {}
    for run in runs:
        if run["scenario"] != figure.scenario:
            continue
        value = read(run["figures"], figure.path)
        if value is None:
            continue
        if run["contestant"] == contestant:
            own[run["round"]] = value
        if run["contestant"] == UNIT_CONTESTANT:
            unit[run["round"]] = value
    if figure.form == "value":
        return summarise([value * figure.scale for value in own.values()])
    both = [(value, unit[number]) for number, value in own.items() if unit.get(number)]
    if figure.form == "ratio":
        return summarise([value / base for value, base in both])
    return summarise([(value - base) * figure.scale for value, base in both])


def shown(measured: Summary | None, figure: Figure) -> str:
    """`median (lowest-highest)`, or a dash."""
    if measured is None:
        return "-"
    median, lowest, highest = (
        f"{value:,.{figure.digits}f}"
        for value in (measured.median, measured.lowest, measured.highest)
    )
    unit = f" {figure.unit}" if figure.unit else ""
    return f"{median}{unit}" if measured.rounds == 1 else f"{median}{unit} ({lowest}-{highest})"
