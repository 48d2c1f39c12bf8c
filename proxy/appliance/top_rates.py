"""Computes rates and percentiles from two scrapes of the metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from prometheus_client.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

FIRSTS = {
    "first byte": "sluice_time_to_first_byte_seconds",
    "first token": "gen_ai_server_time_to_first_token_seconds",
    "first text": "sluice_time_to_first_text_seconds",
}
_FIRST_TOKEN = FIRSTS["first token"]
_PER_TOKEN = "gen_ai_server_time_per_output_token_seconds"
# Failures whatever their status, as in the rules in monitoring/.
_BROKEN = {
    "upstream_cut",
    "error_event",
    "connect_timeout",
    "first_token_timeout",
    "idle_timeout",
    "total_timeout",
    "drained",
    "failed",
}

Labels = frozenset[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape of `/metrics`, and its time in seconds of a monotonic clock."""

    at: float
    samples: Mapping[str, Mapping[Labels, float]]

    @classmethod
    def read(cls, text: str, at: float) -> Scrape:
        """Parse the text format. Raises `ValueError`."""
        samples: dict[str, dict[Labels, float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                labels = frozenset(sample.labels.items())
                samples.setdefault(sample.name, {})[labels] = sample.value
        return cls(at, samples)

    def level(self, name: str) -> float:
        """Return a gauge, summed over its series."""
        return sum(self.samples.get(name, {}).values())


class Spread(NamedTuple):
    """Percentiles of a distribution; None without observations."""

    p5: float | None
    p50: float | None
    p95: float | None


class Model(NamedTuple):
    """One model's figures."""

    name: str
    per_second: float
    first_token: Spread
    tokens_per_second: float | None
    """The median stream's rate."""


class Change:
    """The difference of two scrapes of the same machine."""

    def __init__(self, before: Scrape, after: Scrape) -> None:
        self._before = before
        self.after = after
        self._seconds = max(after.at - before.at, 1e-9)

    def per_second(self, name: str, **labels: str) -> float:
        """Return a counter's rate, summed over all series with these labels."""
        return sum(self._by(name, None, labels).values()) / self._seconds

    def per_second_by(self, name: str, label: str) -> dict[str, float]:
        """Return the rate by a label's value, highest first, without zeros."""
        grown = self._by(name, label, {}).most_common()
        return {value: growth / self._seconds for value, growth in grown if growth}

    def failed_share(self) -> float | None:
        """Return the share of requests that failed: a 5xx or a broken stream; None without any."""
        failed = whole = 0.0
        for labels, growth in self._growth("sluice_requests_total"):
            whole += growth
            shed, broken = labels["ended_by"] == "shed", labels["ended_by"] in _BROKEN
            if broken or (labels["status"].startswith("5") and not shed):
                failed += growth
        return failed / whole if whole else None

    def shed_share(self) -> float | None:
        """Return the share of requests that were shed; None without any."""
        grown = self._by("sluice_requests_total", "ended_by", {})
        whole = sum(grown.values())
        return grown["shed"] / whole if whole else None

    def spread(self, name: str, **labels: str) -> Spread:
        """Return a histogram's percentiles over the observations between the two scrapes."""
        grown = self._by(f"{name}_bucket", "le", labels)
        buckets = sorted((float(bound), count) for bound, count in grown.items())
        return Spread(*(quantile(share, buckets) for share in (0.05, 0.5, 0.95)))

    def models(self) -> list[Model]:
        """Return each model with requests, busiest first."""
        return [
            Model(
                name,
                rate,
                self.spread(_FIRST_TOKEN, gen_ai_request_model=name),
                self._pace(name),
            )
            for name, rate in self.per_second_by("sluice_model_requests_total", "model").items()
        ]

    def _pace(self, model: str) -> float | None:
        """Return the tokens per second of the model's median stream."""
        per_token = self.spread(_PER_TOKEN, gen_ai_request_model=model).p50
        return 1 / per_token if per_token else None

    def _by(self, name: str, label: str | None, wanted: Mapping[str, str]) -> Counter[str]:
        grown: Counter[str] = Counter()
        for labels, growth in self._growth(name):
            if all(labels.get(key) == value for key, value in wanted.items()):
                # Counter's annotation says int, but it adds floats as well.
                grown[labels[label] if label else ""] += growth  # type: ignore[assignment]
        return grown

    def _growth(self, name: str) -> Iterator[tuple[dict[str, str], float]]:
        before = self._before.samples.get(name, {})
        for labels, now in self.after.samples.get(name, {}).items():
            then = before.get(labels, 0.0)
            # A counter that decreased was reset.
            yield dict(labels), now - then if now >= then else now


def quantile(share: float, buckets: Sequence[tuple[float, float]]) -> float | None:
    """Return a quantile of cumulative buckets (upper bound, count), as Prometheus computes it.

    Linear interpolation within a bucket; the lower bound in the +Inf bucket. None without counts.
    """
    whole = buckets[-1][1] if buckets else 0.0
    if not whole:
        return None
    rank = share * whole
    lower, below = 0.0, 0.0
    for bound, count in buckets:
        if count >= rank and count > below:
            if bound == float("inf"):
                return lower
            return lower + (bound - lower) * (rank - below) / (count - below)
        lower, below = bound, count
    return lower
