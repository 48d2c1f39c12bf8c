"""The last warnings of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxy.meter import recent_warnings


@pytest.fixture(autouse=True)
def _none_yet() -> Iterator[None]:
    before = list(recent_warnings._latest)
    recent_warnings._latest.clear()
    yield
    recent_warnings._latest.clear()
    recent_warnings._latest.extend(before)


def test_warnings_are_kept_and_every_line_passes() -> None:
    """What is only information is not kept."""
    for level in ("info", "warning", "error"):
        line = {"level": level, "event": "died", "timestamp": "t", "process": "nginx"}
        assert recent_warnings.remember(None, "", line) is line
    assert [warning["level"] for warning in recent_warnings.latest()] == ["warning", "error"]
    assert recent_warnings.latest()[0]["detail"] == "process=nginx"


def test_there_are_few_of_them_and_each_is_short() -> None:
    """A loop of errors takes no memory."""
    for number in range(100):
        recent_warnings.remember(
            None, "", {"level": "error", "event": str(number), "why": "x" * 9999}
        )
    kept = recent_warnings.latest()
    assert len(kept) == recent_warnings.MAX_WARNINGS
    assert kept[-1]["event"] == "99"
    assert max(len(warning["detail"]) for warning in kept) < 500


def test_a_traceback_is_not_kept() -> None:
    """It belongs in the log; the page has no place for it."""
    event = {"level": "error", "event": "failed", "exc_info": True, "request_id": "r-1"}
    recent_warnings.remember(None, "", event)
    assert recent_warnings.latest()[-1]["detail"] == "request_id=r-1"
