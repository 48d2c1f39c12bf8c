"""All scenarios, in the order in which they run."""

from __future__ import annotations

from bench.scenarios.burst import BURST
from bench.scenarios.cold_start import COLD_START
from bench.scenarios.crowd import CROWD
from bench.scenarios.first_token import FIRST_TOKEN
from bench.scenarios.memory import MEMORY
from bench.scenarios.plain import PLAIN
from bench.scenarios.scenario import Scenario
from bench.scenarios.tokens import tokens_scenario

SCENARIOS: tuple[Scenario, ...] = (
    tokens_scenario(50),
    tokens_scenario(200),
    tokens_scenario(10),
    FIRST_TOKEN,
    PLAIN,
    MEMORY,
    CROWD,
    BURST,
    COLD_START,
)


def scenarios_by_name(names: list[str]) -> list[Scenario]:
    """The scenarios of these names, in the order in which they run.

    Raises KeyError with the first unknown name.
    """
    known = {scenario.name for scenario in SCENARIOS}
    for name in names:
        if name not in known:
            raise KeyError(name)
    return [scenario for scenario in SCENARIOS if scenario.name in names]
