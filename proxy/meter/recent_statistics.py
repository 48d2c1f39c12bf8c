"""A worker's statistics of the last ten minutes, in bounded memory, for the status page.

For longer history, use Prometheus.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from proxy.meter.tally import (
    pace,
    time_to_first_byte,
    time_to_first_text,
    time_to_first_token,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from proxy.meter.tally import Tally
    from proxy.record import RequestRecord

BUCKET_SECONDS = 10
BUCKETS = 60
SAMPLES = 200
"""The number of latest samples kept per figure."""
FIGURES = (
    "time_to_first_byte_seconds",
    "time_to_first_token_seconds",
    "time_to_first_text_seconds",
    "tokens_per_second",
)


@dataclass(slots=True)
class _Bucket:
    number: int
    requests: int = 0
    output_tokens: int = 0
    cost_usd: float = 0.0
    ended_by: Counter[str] = field(default_factory=Counter)


class RecentStatistics:
    """One worker's last ten minutes. `clock` returns seconds, the same in all workers."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: deque[_Bucket] = deque(maxlen=BUCKETS)
        self._samples: dict[str, deque[tuple[float, float]]] = {
            name: deque(maxlen=SAMPLES) for name in FIGURES
        }
        self._requests = 0
        self._output_tokens = 0

    def record(self, record: RequestRecord, tally: Tally, cost: float | None) -> None:
        """Add an ended request; `cost` is in US dollars."""
        now = self._clock()
        tokens = _output_tokens(tally)
        bucket = self._bucket(now)
        bucket.requests += 1
        bucket.output_tokens += tokens
        bucket.cost_usd += cost or 0.0
        bucket.ended_by[str(record.ended_by)] += 1
        self._requests += 1
        self._output_tokens += tokens
        per_token = pace(tally)
        figures = (
            time_to_first_byte(record),
            time_to_first_token(record, tally),
            time_to_first_text(record, tally),
            per_token[1] if per_token else None,
        )
        for name, value in zip(FIGURES, figures, strict=True):
            if value is not None:
                self._samples[name].append((now, value))

    def report(self, running: Iterable[Tally]) -> dict[str, Any]:
        """Build the report for `/status`; `running` are the tallies of running requests.

        Buckets are numbered by the machine's clock, so that several workers' can be merged.
        """
        now = self._clock()
        oldest = now - BUCKETS * BUCKET_SECONDS
        current = int(now // BUCKET_SECONDS)
        return {
            "bucket": current,
            "requests_total": self._requests,
            "output_tokens_total": self._output_tokens + sum(tally.counted for tally in running),
            "buckets": [
                {
                    "number": bucket.number,
                    "requests": bucket.requests,
                    "output_tokens": bucket.output_tokens,
                    "cost_usd": bucket.cost_usd,
                    "ended_by": dict(bucket.ended_by),
                }
                for bucket in self._buckets
                if bucket.number > current - BUCKETS
            ],
            "samples": {
                name: [round(value, 6) for at, value in samples if at >= oldest]
                for name, samples in self._samples.items()
            },
        }

    def _bucket(self, now: float) -> _Bucket:
        number = int(now // BUCKET_SECONDS)
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        return self._buckets[-1]


def _output_tokens(tally: Tally) -> int:
    usage = tally.usage
    return (usage.output_total if usage else None) or tally.counted
