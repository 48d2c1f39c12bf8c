"""The workers' last ten minutes, added up."""

from __future__ import annotations

from typing import Any

from proxy.appliance.recent_status import BUCKET_SECONDS, BUCKETS, merge
from proxy.meter import recent_statistics


def report(
    newest: int, *buckets: tuple[int, int], samples: tuple[float, ...] = ()
) -> dict[str, Any]:
    """What one worker says: buckets of (number, requests)."""
    return {
        "bucket": newest,
        "requests_total": sum(count for _, count in buckets),
        "output_tokens_total": 0,
        "buckets": [
            {
                "number": number,
                "requests": count,
                "output_tokens": 10 * count,
                "cost_usd": 0.5,
                "ended_by": {"complete": count},
            }
            for number, count in buckets
        ],
        "samples": {"tokens_per_second": list(samples)},
    }


def test_workers_add_up_by_the_machines_clock() -> None:
    """The same ten seconds of two workers are one point of the line."""
    merged = merge([report(100, (99, 1), (100, 2)), report(100, (100, 3))])
    assert merged["requests"][-2:] == [1, 5]
    assert merged["output_tokens"][-2:] == [10, 50]
    assert merged["ended_by"] == {"complete": 6}
    assert merged["cost_usd_per_hour"] == 1.5 * 3600 / 20
    assert len(merged["requests"]) == BUCKETS


def test_the_spread_is_taken_over_all_workers() -> None:
    """Not an average of their averages."""
    merged = merge([report(1, samples=(1.0, 2.0)), report(1, samples=(3.0, 4.0, 100.0))])
    assert merged["tokens_per_second"] == {"p50": 3.0, "p95": 100.0}


def test_without_a_report_all_is_nothing() -> None:
    """A worker that does not answer is left out."""
    merged = merge([{}])
    assert sum(merged["requests"]) == 0
    assert merged["cost_usd_per_hour"] == 0


def test_both_sides_count_alike() -> None:
    """The supervisor does not load the meter for two numbers, so they stand in both places."""
    assert (BUCKET_SECONDS, BUCKETS) == (
        recent_statistics.BUCKET_SECONDS,
        recent_statistics.BUCKETS,
    )
