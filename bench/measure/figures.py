"""Distributions, medians and ranges."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True)
class Distribution:
    """Percentiles of a sample, in the sample's own unit."""

    count: int
    p50: float
    p90: float
    p99: float
    largest: float

    def as_dict(self) -> dict[str, float]:
        """For the raw results."""
        return asdict(self)


def distribution(sample: Sequence[float]) -> Distribution | None:
    """Percentiles by nearest rank; None where nothing was measured."""
    if not sample:
        return None
    ordered = sorted(sample)
    p50, p90, p99 = (percentile(ordered, percent) for percent in (50, 90, 99))
    return Distribution(len(ordered), p50, p90, p99, ordered[-1])


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of a sorted sample that is not empty."""
    rank = -(-len(ordered) * percent // 100)
    return ordered[max(0, int(rank) - 1)]


@dataclass(frozen=True, slots=True)
class Summary:
    """Several rounds of one figure."""

    median: float
    lowest: float
    highest: float
    rounds: int


def summarise(values: Sequence[float]) -> Summary | None:
    """The median and the range over the rounds; None without any."""
    if not values:
        return None
    return Summary(statistics.median(values), min(values), max(values), len(values))
