from __future__ import annotations

import argparse
import json
from pathlib import Path

import pytest

from bench.guard import command
from bench.guard.command import FIGURES, compare, run_guard


@pytest.mark.parametrize(
    ("measured", "committed", "passed"),
    [(100, 100, True), (110, 100, True), (111, 100, False), (50, 100, True), (100, None, True)],
)
def test_a_cost_against_the_figure(measured: int, committed: int | None, passed: bool) -> None:
    """Up to a tenth more passes; on a Python without a figure there is nothing to exceed."""
    assert compare(measured, committed, "3.11")[0] is passed


def test_a_cheaper_token() -> None:
    """The figure should follow, or the next regression hides in it."""
    assert "commit the new figure" in compare(50, 100, "3.11")[1]


def test_recording_and_exceeding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was recorded is what the next run is held to."""
    figures = tmp_path / "figures.json"
    monkeypatch.setattr(command, "measure", lambda: 1000)
    run_guard(argparse.Namespace(record=True, figures=figures))
    run_guard(argparse.Namespace(record=False, figures=figures))
    monkeypatch.setattr(command, "measure", lambda: 1200)
    with pytest.raises(SystemExit):
        run_guard(argparse.Namespace(record=False, figures=figures))


def test_the_committed_figures() -> None:
    """They are instructions per token, by Python version."""
    figures = json.loads(FIGURES.read_text())
    assert all(isinstance(figure, int) and figure > 0 for figure in figures.values())
