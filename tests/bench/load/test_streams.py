from __future__ import annotations

import json

import pytest

from bench.load.streams import StreamLoad, StreamRun
from bench.load.target import Target
from bench.upstream.pace import Pace


async def test_streams_that_all_complete(
    target: Target, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every token in the window has its delay, and the window is announced before it begins."""
    load = StreamLoad(5, Pace(100, 60, 0.01), ramp=0.1, settle=0.05, window=0.2, patience=5)
    figures = await StreamRun(target, load).run()
    report = json.loads(capsys.readouterr().out)
    assert figures["endings"] == {"complete": 5}
    assert figures["due"] == pytest.approx(100, abs=5)
    assert figures["delay_us"]["p50"] > 0
    assert report["end"] - report["start"] == 200_000_000
    assert report["streams"] == 5


async def test_streams_longer_than_anybody_waits(target: Target) -> None:
    """They are left, and counted as unfinished."""
    load = StreamLoad(2, Pace(100, 40, 0), ramp=0, settle=0, window=0.05, patience=0)
    slow = Target(target.host, target.port, model="paced-1-100-0")
    figures = await StreamRun(slow, load).run()
    assert figures["endings"] == {"unfinished": 2}


async def test_nobody_listens(nobody: Target) -> None:
    """Each refused connection is an ending of its own, and nothing hangs."""
    load = StreamLoad(3, Pace(100, 5, 0), ramp=0, settle=0, window=0.05, patience=5)
    figures = await StreamRun(nobody, load).run()
    assert figures["endings"] == {"connect ConnectionRefusedError": 3}
    assert figures["delay_us"] is None
