from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from bench.apparatus.loading import Loaded
from bench.apparatus.running import Running
from bench.contestants.everybody import by_name
from bench.load.target import Target
from bench.measure.processes import Memory, Snapshot
from bench.scenarios import all as scenarios
from bench.scenarios.all import (
    measure_cold_start,
    measure_crowd,
    measure_first_token,
    measure_memory,
    measure_plain,
    measure_tokens,
)
from bench.scenarios.scenario import Session
from bench.upstream.pace import Pace


class Scripted(Session):
    """A session without processes: a load generator that has always measured the same."""

    figures: ClassVar[dict[str, Any]] = {}
    edges: ClassVar[tuple[Any, Any]] = (None, None)
    asked: ClassVar[list[list[str]]] = []

    @contextmanager
    def gateway(self, pace: Pace) -> Iterator[Running]:
        """A contestant that started within 0.25 s."""
        del pace
        yield Running(Target("127.0.0.1", 1), 4711, 0.25)

    def load(
        self, arguments: list[str], gateway: Running, probe: Callable[[], Any], seconds: float
    ) -> Loaded[Any]:
        """What was scripted; the arguments are kept."""
        del gateway, probe, seconds
        self.asked.append(arguments)
        return Loaded(dict(self.figures), *self.edges)


@pytest.fixture
def session(tmp_path: Path) -> Scripted:
    """A quick turn of the naive relay."""
    Scripted.asked = []
    return Scripted(by_name(["naive"])[0], tmp_path, pinned=True, workers=1, quick=True)


SECOND = 1_000_000_000


def test_cpu_time_per_token(session: Scripted) -> None:
    """CPU time within the window, over the tokens that came in it."""
    Scripted.figures = {"received": 4_000}
    Scripted.edges = (Snapshot(0, {1: 0}), Snapshot(2 * SECOND, {1: 80_000_000}))
    figures = measure_tokens(session, streams=50)
    assert figures["cpu_us_per_token"] == pytest.approx(20)
    assert figures["core_busy"] == pytest.approx(0.04)
    assert figures["kept_pace"] == pytest.approx(4_000 / (50 * 50 * 2))
    assert session.asked[0][0] == session.asked[1][0] == "streams"


def test_memory_per_stream(session: Scripted, monkeypatch: pytest.MonkeyPatch) -> None:
    """What grew from warmed up to all streams open, by stream."""
    monkeypatch.setattr(scenarios, "memory", lambda _: Memory(0, 1_000_000))
    monkeypatch.setattr(scenarios, "socket_memory", lambda: 0)
    Scripted.figures = {"endings": {"complete": 400}}
    Scripted.edges = (None, (Memory(10_000_000, 9_000_000), 400 * 4096))
    figures = measure_memory(session)
    assert figures["bytes_per_stream"] == 8_000_000 / 400
    assert figures["kernel_bytes_per_stream"] == 4096


def test_requests_per_second(session: Scripted) -> None:
    """The rate, the CPU time of each request, and how full the core was."""
    Scripted.figures = {"received": 1_000}
    Scripted.edges = (Snapshot(0, {1: 0}), Snapshot(2 * SECOND, {1: SECOND}))
    figures = measure_plain(session)
    assert figures["requests_per_second"] == 500
    assert figures["cpu_us_per_request"] == 1_000
    assert figures["core_busy"] == 0.5


def test_a_crowd(session: Scripted) -> None:
    """CPU time per token stands beside what the load generator saw."""
    Scripted.figures = {"received": 1_000, "late_us": {"p99": 5.0}}
    Scripted.edges = (Snapshot(0, {}), Snapshot(SECOND, {1: 30_000_000}))
    figures = measure_crowd(session)
    assert figures["cpu_us_per_token"] == 30
    assert figures["late_us"] == {"p99": 5.0}


def test_the_first_token(session: Scripted) -> None:
    """The load generator's own figures are the result."""
    Scripted.figures = {"x": 1}
    assert measure_first_token(session) == {"x": 1}
    assert [asked[0] for asked in session.asked] == ["streams", "first"]


def test_a_cold_start(session: Scripted) -> None:
    """The time from the command to the first answer."""
    assert measure_cold_start(session) == {"ready_seconds": 0.25}
