"""Merges the workers' statistics of the last ten minutes, for `/status`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUCKET_SECONDS = 10
BUCKETS = 60
_SECONDS_AN_HOUR = 3600


def merge(reports: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Merge the workers' reports; series run from the oldest bucket to the newest.

    The newest bucket is incomplete. `cost_usd_per_hour` extrapolates from the part of the window
    that has data.
    """
    known = [report for report in reports if report]
    newest = max((report["bucket"] for report in known), default=0)
    requests, tokens = [0] * BUCKETS, [0] * BUCKETS
    ended_by: Counter[str] = Counter()
    cost, first = 0.0, newest
    for bucket in (bucket for report in known for bucket in report["buckets"]):
        index = bucket["number"] - newest + BUCKETS - 1
        if 0 <= index < BUCKETS:
            requests[index] += bucket["requests"]
            tokens[index] += bucket["output_tokens"]
            cost += bucket["cost_usd"]
            ended_by.update(bucket["ended_by"])
            first = min(first, bucket["number"])
    filled = (newest - first + 1) * BUCKET_SECONDS
    return {
        "window_seconds": BUCKETS * BUCKET_SECONDS,
        "bucket_seconds": BUCKET_SECONDS,
        "requests": requests,
        "output_tokens": tokens,
        "ended_by": dict(ended_by),
        "cost_usd": round(cost, 6),
        "cost_usd_per_hour": round(cost * _SECONDS_AN_HOUR / filled, 6),
        "requests_total": sum(report["requests_total"] for report in known),
        "output_tokens_total": sum(report["output_tokens_total"] for report in known),
        **_quantiles(known),
    }


def _quantiles(reports: list[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    names = {name for report in reports for name in report["samples"]}
    return {
        name: _spread([value for report in reports for value in report["samples"].get(name, ())])
        for name in sorted(names)
    }


def _spread(values: list[float]) -> dict[str, float | None]:
    """Return the median and the 95th percentile (nearest rank); None without values."""
    ordered = sorted(values)
    if not ordered:
        return {"p50": None, "p95": None}
    last = len(ordered) - 1
    return {"p50": ordered[round(last * 0.5)], "p95": ordered[round(last * 0.95)]}
