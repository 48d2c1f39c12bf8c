from __future__ import annotations

from pathlib import Path

import pytest

from bench.apparatus.cores import Cores
from bench.apparatus.loading import load, target_arguments
from bench.apparatus.running import ContestantError, running, upstream
from bench.contestants.contestant import Contestant, Launch
from bench.contestants.everybody import by_name
from bench.load.target import Target
from bench.measure.processes import snapshot
from bench.upstream.pace import Pace

LOAD = ["streams", "--streams=3", "--pace=50-40-0.01", "--ramp=0.1", "--settle=0.1", "--window=0.3"]


def test_a_contestant_under_load(tmp_path: Path) -> None:
    """It is measured while all streams run: tokens, their delay, and the CPU time they took."""
    with (
        upstream(Pace(1, 1, 0), Cores()) as port,
        running(by_name(["naive"])[0], port, tmp_path / "naive", 1, Cores()) as gateway,
    ):
        loaded = load(LOAD, gateway.target, lambda: snapshot(gateway.root), Cores(), 20)
    assert loaded.figures["endings"] == {"complete": 3}
    assert loaded.figures["received"] == pytest.approx(45, abs=6)
    assert loaded.last.since(loaded.first) > 0
    assert gateway.ready_seconds > 0


def test_no_contestant_at_all(tmp_path: Path) -> None:
    """The load goes straight to the upstream."""
    with (
        upstream(Pace(1, 1, 0), Cores()) as port,
        running(by_name(["direct"])[0], port, tmp_path / "direct", 1, Cores()) as gateway,
    ):
        assert gateway.target.port == port
        assert gateway.root == 0


def test_a_contestant_that_ends_at_once(tmp_path: Path) -> None:
    """The failure carries its own last words."""
    broken = Contestant(
        "broken",
        "broken",
        "",
        find=str,
        launch=lambda _: Launch(["sh", "-c", "echo no such option >&2; exit 3"]),
    )
    with (
        pytest.raises(ContestantError, match=r"code 3; it said: no such option"),
        running(broken, 1, tmp_path / "broken", 1, Cores()),
    ):
        pass


def test_a_contestant_that_never_answers(tmp_path: Path) -> None:
    """It is given up after its own time."""
    silent = Contestant(
        "silent",
        "silent",
        "",
        find=str,
        launch=lambda _: Launch(["sleep", "60"]),
        ready_seconds=0.2,
    )
    with (
        pytest.raises(ContestantError, match="never ready: ConnectionRefusedError"),
        running(silent, 1, tmp_path / "silent", 1, Cores()),
    ):
        pass


def test_a_load_that_cannot_run() -> None:
    """Its error is told, not swallowed."""
    with pytest.raises(ContestantError, match="unrecognized arguments"):
        load(["streams", "--nonsense"], Target("127.0.0.1", 1), lambda: None, Cores(), 20)


def test_a_target_with_wishes() -> None:
    """They all reach the load generator."""
    target = Target("127.0.0.1", 7, "/p", "m", {"A": "b"})
    assert target_arguments(target) == ["--port=7", "--path=/p", "--model=m", "--header=A: b"]
