"""Rounds, interleaved: A B C, A B C, … so that a slow minute of the machine hits everybody."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from bench.apparatus.running import ContestantError
from bench.contestants.contestant import AbsentError, Contestant
from bench.measure.machine import machine_busy
from bench.scenarios.scenario import Scenario, Session

_LONGEST_FAILURE = 400
_LOOK_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant in one scenario in one round: its figures, or why there are none.

    `foreign_busy` is how many cores others kept busy just before it began.
    """

    scenario: str
    contestant: str
    round: int
    figures: dict[str, Any] = field(default_factory=dict)
    failure: str = ""
    seconds: float = 0.0
    foreign_busy: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For the raw results."""
        return asdict(self)


def present(contestants: Sequence[Contestant]) -> tuple[dict[str, str], dict[str, str]]:
    """Versions of those that can run here, and reasons of those that cannot, by name."""
    versions: dict[str, str] = {}
    absent: dict[str, str] = {}
    for contestant in contestants:
        try:
            versions[contestant.name] = contestant.find()
        except AbsentError as reason:
            absent[contestant.name] = str(reason)
    return versions, absent


def run_rounds(
    scenarios: Sequence[Scenario],
    contestants: Sequence[Contestant],
    rounds: int,
    *,
    quick: bool,
    tell: Callable[[str], None],
) -> Iterator[Run]:
    """Every scenario in every round for everybody who takes part in it."""
    for scenario in scenarios:
        taking_part = [one for one in contestants if scenario.name not in one.skips]
        for number in range(min(rounds, scenario.most_rounds)):
            for contestant in taking_part:
                run = run_once(scenario, contestant, number, quick=quick)
                tell(f"{scenario.name:13} round {number + 1} {contestant.name:14} {_brief(run)}")
                yield run


def run_once(scenario: Scenario, contestant: Contestant, number: int, *, quick: bool) -> Run:
    """One turn, in a directory of its own that does not outlive it."""
    place = Path(tempfile.mkdtemp(prefix="bench-"))
    place.chmod(0o755)  # workers that gave up root must get to their sockets
    session = Session(contestant, place / "turn", scenario.pinned, scenario.workers, quick)
    foreign = machine_busy(_LOOK_SECONDS)
    began = time.monotonic()
    figures: dict[str, Any] = {}
    failure = ""
    try:
        figures = scenario.measure(session)
    except (ContestantError, AbsentError) as error:
        failure = str(error)[:_LONGEST_FAILURE]
    finally:
        shutil.rmtree(place, ignore_errors=True)
    taken = time.monotonic() - began
    return Run(scenario.name, contestant.name, number, figures, failure, taken, foreign)


def _brief(run: Run) -> str:
    if run.failure:
        return f"failed: {run.failure}"
    shown = [
        f"{name}={value:.4g}" for name, value in run.figures.items() if isinstance(value, float)
    ]
    return f"{run.seconds:5.1f} s  {' '.join(shown)}"
