from __future__ import annotations

import pytest

from bench.report.figures import FIGURES, read, shown, summary
from tests.bench.report.results import CPU, run


def test_a_ratio_over_two_rounds() -> None:
    """Each round is compared with bare nginx of the same round, never with another's."""
    ratio = summary(FIGURES["cpu50"], "appliance", CPU)
    assert ratio is not None
    assert ratio.lowest == pytest.approx(1.8)
    assert ratio.highest == pytest.approx(2.2)
    assert shown(ratio, FIGURES["cpu50"]) == "2.00 (1.80-2.20)"


def test_a_round_without_bare_nginx() -> None:
    """It has no ratio."""
    runs = [*CPU, run("tokens-50", "appliance", 2, cpu_us_per_token=500.0)]
    ratio = summary(FIGURES["cpu50"], "appliance", runs)
    assert ratio is not None
    assert ratio.rounds == 2


def test_a_difference() -> None:
    """Microseconds become milliseconds over bare nginx."""
    runs = [
        run("first-token", "nginx", added_us={"p50": 100.0}),
        run("first-token", "worker", added_us={"p50": 350.0}),
    ]
    difference = summary(FIGURES["ttft50"], "worker", runs)
    assert shown(difference, FIGURES["ttft50"]) == "0.25 ms"


def test_a_figure_that_was_not_measured() -> None:
    """It is a dash, not a zero."""
    assert shown(summary(FIGURES["kib"], "worker", CPU), FIGURES["kib"]) == "-"
    assert read({"delay_us": None}, "delay_us.p99") is None
