from __future__ import annotations

from typing import Any

import pytest

from bench.apparatus.running import ContestantError
from bench.contestants.contestant import AbsentError, Contestant
from bench.rounds import present, run_rounds
from bench.scenarios.scenario import Scenario, Session


def contestant(name: str, skips: dict[str, str] | None = None) -> Contestant:
    """One without a process."""
    return Contestant(name, name, "None.", lambda: "1", lambda _: None, skips=skips or {})


@pytest.fixture(autouse=True)
def _quiet_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.rounds.machine_busy", lambda _: 0.25)


def test_two_rounds_of_three() -> None:
    """They take turns, so that a slow minute hits everybody; who skips a scenario is left out."""
    turns: list[tuple[str, str]] = []

    def measure(session: Session) -> dict[str, Any]:
        turns.append(("s", session.contestant.name))
        return {"x": 1.0}

    everybody = [contestant("a"), contestant("b", {"s": "why"}), contestant("c")]
    runs = list(run_rounds([Scenario("s", measure)], everybody, 2, quick=True, tell=print))
    assert turns == [("s", "a"), ("s", "c")] * 2
    assert [run.round for run in runs] == [0, 0, 1, 1]
    assert {run.foreign_busy for run in runs} == {0.25}


def test_a_figure_that_hardly_varies() -> None:
    """It is measured in no more rounds than it needs."""
    scenario = Scenario("s", lambda _: {}, most_rounds=2)
    runs = list(run_rounds([scenario], [contestant("a")], 5, quick=True, tell=print))
    assert [run.round for run in runs] == [0, 1]


def test_a_contestant_that_fails() -> None:
    """Its failure is its result, the directory is gone, and the others have their turn."""
    seen: list[Session] = []

    def measure(session: Session) -> dict[str, Any]:
        seen.append(session)
        if session.contestant.name == "a":
            raise ContestantError("never ready")
        return {}

    everybody = [contestant("a"), contestant("b")]
    runs = list(run_rounds([Scenario("s", measure)], everybody, 1, quick=True, tell=print))
    assert [run.failure for run in runs] == ["never ready", ""]
    assert not seen[0].directory.parent.exists()


def test_who_is_present() -> None:
    """Versions of those that are, reasons of those that are not."""

    def absent() -> str:
        raise AbsentError("not installed")

    here = contestant("a")
    gone = Contestant("b", "b", "None.", absent, lambda _: None)
    assert present([here, gone]) == ({"a": "1"}, {"b": "not installed"})
