from __future__ import annotations

import pytest

from bench.report.figures import FIGURES
from bench.scenarios.all import SCENARIOS, scenarios_by_name


def test_every_figure_has_its_scenario() -> None:
    """The report reads nothing that no scenario writes."""
    assert {figure.scenario for figure in FIGURES.values()} <= {
        scenario.name for scenario in SCENARIOS
    }


def test_an_unknown_scenario() -> None:
    """It is refused by name."""
    with pytest.raises(KeyError, match="nonsense"):
        scenarios_by_name(["plain", "nonsense"])


def test_some_scenarios() -> None:
    """They run in the order of the list, not in that of the command line."""
    assert [scenario.name for scenario in scenarios_by_name(["cold-start", "plain"])] == [
        "plain",
        "cold-start",
    ]
