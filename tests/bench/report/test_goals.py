from __future__ import annotations

from bench.report.goals import GOALS, goal_rows
from tests.bench.report.results import CPU, run


def row(runs: list[dict[str, object]], title: str) -> str:
    """The one line of the goals with this title."""
    (found,) = [line for line in goal_rows(runs) if title in line]
    return found


def test_a_goal_that_is_reached() -> None:
    """The measured median stands beside the limit."""
    assert row(CPU, "appliance, 50 streams").endswith("| ≤ 2 | 2.00 (1.80-2.20) | yes |")


def test_a_goal_that_is_missed() -> None:
    """It is said loudly."""
    runs = [run("cold-start", "appliance", ready_seconds=1.6)]
    assert row(runs, "cold start").endswith("| **no** |")


def test_a_goal_that_was_not_measured() -> None:
    """It is not taken for reached."""
    assert row([], "cold start").endswith("| not measured |")


def test_as_many_requests_as_litellm() -> None:
    """At least so many times as many, in the same round."""
    runs = [
        run("plain", "appliance", requests_per_second=1200.0),
        run("plain", "litellm", requests_per_second=100.0),
    ]
    assert row(runs, "over LiteLLM").endswith("| ≥ 10 | 12.00 (12.00-12.00) | yes |")


def test_streams_that_did_not_complete() -> None:
    """One of ten thousand is enough to miss the goal."""
    runs = [run("ten-thousand", "appliance", streams=10_000, endings={"complete": 9_999})]
    assert row(runs, "10,000 streams: complete").endswith("| 9,999 of 10,000 | **no** |")


def test_every_goal_has_a_row() -> None:
    """None of them is forgotten, whatever was measured."""
    assert len(goal_rows([])) == len(GOALS) + 2
