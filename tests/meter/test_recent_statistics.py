"""The last ten minutes of one worker, by a clock of the test's own."""

from __future__ import annotations

from proxy.meter.recent_statistics import BUCKET_SECONDS, BUCKETS, SAMPLES, RecentStatistics
from proxy.meter.tally import Tally, Usage
from proxy.record import EndedBy, Family, RequestRecord


def ended(by: EndedBy = EndedBy.COMPLETE, *, first_byte: float = 0.5) -> RequestRecord:
    """A request that began at second 0."""
    record = RequestRecord("id", "POST", "/v1/chat/completions", Family.CHAT, 0.0)
    record.ended_by, record.first_byte_at = by, first_byte
    return record


def test_requests_tokens_cost_and_outcomes() -> None:
    """Each in the bucket of its end, and in the totals."""
    now = 1000.0
    recent = RecentStatistics(lambda: now)
    recent.record(ended(), Tally(usage=Usage(output=20)), 0.25)
    now += BUCKET_SECONDS
    recent.record(ended(EndedBy.UPSTREAM_CUT), Tally(counted=3), None)
    report = recent.report([])
    first, second = report["buckets"]
    assert (first["requests"], first["output_tokens"], first["cost_usd"]) == (1, 20, 0.25)
    assert second["ended_by"] == {"upstream_cut": 1}
    assert second["number"] == first["number"] + 1 == report["bucket"]
    assert (report["requests_total"], report["output_tokens_total"]) == (2, 23)


def test_tokens_of_running_streams_are_in_the_total() -> None:
    """A stream of an hour does not wait for its end to be seen."""
    assert (
        RecentStatistics().report([Tally(counted=7), Tally(counted=5)])["output_tokens_total"] == 12
    )


def test_what_is_older_than_the_window_is_gone() -> None:
    """Buckets and samples alike; the totals stay."""
    now = 0.0
    recent = RecentStatistics(lambda: now)
    recent.record(ended(), Tally(counted=1), None)
    now = BUCKETS * BUCKET_SECONDS + 1.0
    report = recent.report([])
    assert report["buckets"] == []
    assert report["samples"]["time_to_first_byte_seconds"] == []
    assert report["requests_total"] == 1


def test_it_stays_small() -> None:
    """However many requests come."""
    now = 0.0
    recent = RecentStatistics(lambda: now)
    for number in range(5000):
        now = number * 1.0
        recent.record(ended(), Tally(), None)
    report = recent.report([])
    assert len(report["buckets"]) <= BUCKETS
    assert len(report["samples"]["time_to_first_byte_seconds"]) <= SAMPLES
