from __future__ import annotations

from bench.report.table import report
from tests.bench.report.results import CPU, results, run


def test_a_run_of_two() -> None:
    """The table has their rows, the machine and the command."""
    text = report(results(CPU))
    assert "| bare nginx | 1.0 | 1.00 (1.00-1.00) |" in text
    assert "| Sluice, the appliance | 1.0 | 2.00 (1.80-2.20) |" in text
    assert "`python -m bench run`" in text
    assert "2.0% of a core at the median" in text


def test_a_peer_that_was_absent() -> None:
    """It is named with its reason."""
    assert "- litellm was absent: no wheel." in report(results(CPU, litellm="no wheel"))


def test_turns_that_went_wrong() -> None:
    """Failures, endings other than complete, and falling behind are all told."""
    failed = {**run("plain", "envoy"), "failure": "never ready"}
    cut = run("tokens-50", "envoy", endings={"complete": 9, "cut": 1})
    behind = run("tokens-200", "envoy", kept_pace=0.5, endings={"complete": 1})
    text = report(results([failed, cut, behind]))
    assert "- envoy, plain, round 1: never ready" in text
    assert "- envoy, tokens-50, round 1: cut: 1" in text
    assert "- envoy, tokens-200, round 1: fell behind, 50%" in text


def test_nothing_was_measured() -> None:
    """There is still a report."""
    assert "not measured" in report(results([]))
