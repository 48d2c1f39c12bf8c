from __future__ import annotations

from bench.load.plain import PlainLoad, PlainRun
from bench.load.target import Target
from bench.upstream.pace import Pace

LOAD = PlainLoad(connections=3, pace=Pace(1, 5, 0), warm_up=0.05, window=0.2)


async def test_answers_as_fast_as_they_come(target: Target) -> None:
    """Every answer in the window is counted and timed."""
    figures = await PlainRun(target, LOAD).run()
    assert figures["received"] > 10
    assert figures["taken_us"]["count"] == figures["received"]
    assert figures["failures"] == {}


async def test_answers_that_are_refused(target: Target) -> None:
    """They are failures, not requests per second."""
    figures = await PlainRun(Target(target.host, target.port, "/nowhere"), LOAD).run()
    assert figures["received"] == 0
    assert set(figures["failures"]) == {"refused 404"}
