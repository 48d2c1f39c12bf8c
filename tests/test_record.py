from __future__ import annotations

from proxy.record import EndedBy, EventKind, Family, RequestRecord


def test_how_long_it_took() -> None:
    """From its arrival to its end, in seconds; nothing while it has not ended."""
    record = RequestRecord("r", "POST", "/v1/chat/completions", Family.CHAT, started_at=10.0)
    assert record.duration == 0.0
    record.ended_at = 12.5
    assert record.duration == 2.5


def test_notes_are_each_requests_own() -> None:
    """What one request's line says is not said of the next."""
    one, other = (RequestRecord(name, "GET", "other", Family.UNKNOWN, 0.0) for name in "ab")
    one.notes["retried"] = "yes"
    assert other.notes == {}


def test_words_that_are_labels() -> None:
    """Families and outcomes are their own text in metrics and logs; no two kinds are one."""
    assert f"{Family.CHAT} {EndedBy.UPSTREAM_CUT}" == "chat upstream_cut"
    assert len({kind.value for kind in EventKind}) == len(EventKind)
