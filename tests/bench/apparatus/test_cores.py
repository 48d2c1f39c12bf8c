from __future__ import annotations

from bench.apparatus.cores import Cores, pinned_command, share_cores


def test_two_cores() -> None:
    """One is the contestant's, the other the apparatus'."""
    assert share_cores({0, 1}, pinned=True) == Cores(frozenset({0}), frozenset({1}))


def test_a_single_core() -> None:
    """Nobody is pinned."""
    assert share_cores({3}, pinned=True) == Cores()


def test_a_scenario_about_all_cores() -> None:
    """Nobody is pinned."""
    assert share_cores({0, 1}, pinned=False) == Cores()


def test_a_pinned_command() -> None:
    """It is held to its cores from its first instruction on."""
    assert pinned_command(["x"], frozenset({2, 1})) == ["taskset", "--cpu-list", "1,2", "x"]
    assert pinned_command(["x"], None) == ["x"]
