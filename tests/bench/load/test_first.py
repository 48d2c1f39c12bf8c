from __future__ import annotations

import pytest

from bench.load.first import FirstLoad, added, measure_first
from bench.load.target import Target
from bench.upstream.pace import Pace


def test_the_upstream_was_late() -> None:
    """Its waiting drops out: only the way there and the way back count."""
    asked, arrived, sent, received = 1_000, 3_000, 2_000_000_000, 2_000_004_000
    due = arrived + 1_000_000_000
    assert added(asked, received, sent, due, 1.0) == 2_000 + 4_000


async def test_streams_one_after_the_other(target: Target) -> None:
    """As many are measured as were asked for, those that warm up left out."""
    load = FirstLoad(requests=5, warm_up=2, pace=Pace(500, 2, 0.001), patience=5)
    figures = await measure_first(target, load)
    assert figures["added_us"]["count"] == 5
    assert figures["added_us"]["p50"] > 0


async def test_an_answer_that_fails(target: Target) -> None:
    """No figure is better than a wrong one."""
    load = FirstLoad(requests=1, warm_up=0, pace=Pace(500, 2, 0), patience=5)
    wrong = Target(target.host, target.port, path="/nowhere")
    with pytest.raises(RuntimeError, match="404"):
        await measure_first(wrong, load)
