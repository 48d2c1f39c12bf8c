from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from bench import command_run
from bench.command_run import add_run, run_report, run_run
from bench.rounds import Run


def told(*arguments: str) -> argparse.Namespace:
    """A command line, parsed."""
    parser = argparse.ArgumentParser()
    add_run(parser)
    return parser.parse_args(arguments)


def test_a_run_is_written_down(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Raw results and table stand side by side, and can be made anew."""

    def runs(*_: Any, **__: Any) -> list[Run]:
        return [Run("cold-start", "nginx", 0, {"ready_seconds": 0.01})]

    monkeypatch.setattr(command_run, "run_rounds", runs)
    run_run(told("--quick", "--contestants=nginx,direct", "--results", str(tmp_path)))
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".md"}
    raw = tmp_path / "quick.json"
    assert json.loads(raw.read_text())["runs"][0]["contestant"] == "nginx"
    before = (tmp_path / "quick.md").read_text()
    run_report(argparse.Namespace(raw=raw))
    assert (tmp_path / "quick.md").read_text() == before


def test_an_unknown_contestant() -> None:
    """The run does not begin."""
    with pytest.raises(SystemExit, match="kong"):
        run_run(told("--contestants=kong"))
