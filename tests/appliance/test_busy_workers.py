"""A worker that is merely busy: its beats come late, and it is neither hidden nor killed for it.

By a script of what each look finds, in which no time passes; a machine that is loaded indeed is
`make burst`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxy.appliance.child import ProcessSpec
from proxy.appliance.monitor import ProcessMonitor

BUSY = {
    "half of the beats": (1, 0) * 100,
    "one in six": (0, 0, 0, 0, 0, 1) * 100,
    "late, and then all at once": (0, 0, 0, 0, 0, 6) * 100,
    "a burst now and then": (1, 1, 1, 0, 0, 0, 0, 0) * 50 + (1,),
}


class Heartbeat:
    """Beats that have come, as at the last look."""

    beats = 1


class Worker:
    """A child that no signal has stopped."""

    pid = 1

    def __init__(self) -> None:
        self.killed = 0

    def stopped(self) -> bool:
        """Whether a signal has."""
        return False

    def kill(self) -> None:
        """End it."""
        self.killed += 1


async def watched(monkeypatch: pytest.MonkeyPatch, *beats: int) -> tuple[Worker, list[str]]:
    """What becomes of a worker of which each look finds so many beats more."""
    ending: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    looks = iter(beats)
    child, states = Worker(), list[str]()
    heartbeat: Any = Heartbeat()

    async def look(_waited: object, **_: object) -> tuple[set[object], set[object]]:
        came = next(looks, None)
        if came is None:
            return {ending}, set()
        heartbeat.beats += came
        return set(), {ending}

    async def question() -> None:
        """Never asked."""

    monitor = ProcessMonitor(ProcessSpec("it", ["it"], err=lambda _lines: None), question)
    monkeypatch.setattr(monitor, "_set_state", lambda state, _ending: states.append(state.value))
    with monkeypatch.context() as looking:
        looking.setattr("proxy.appliance.monitor.asyncio.wait", look)
        await monitor._watch_heartbeat(child, heartbeat, ending)  # type: ignore[arg-type]
    return child, states


@pytest.mark.parametrize("beats", BUSY.values(), ids=BUSY)
async def test_one_that_is_merely_busy_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, beats: tuple[int, ...]
) -> None:
    """A beat in every three seconds, for however long: never hidden, never killed."""
    child, states = await watched(monkeypatch, *beats)
    assert set(states) == {"ready"}
    assert len(states) == len(beats)
    assert child.killed == 0


async def test_one_that_beats_once_in_nine_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    """It gets nothing new meanwhile, and keeps its streams, which go on, if slowly."""
    child, states = await watched(monkeypatch, *((*[0] * 18, 1) * 10))
    assert set(states) == {"ready", "silent"}
    assert states[-1] == "ready"
    assert child.killed == 0


async def test_one_that_never_beats_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is hidden after three seconds, and killed after ten."""
    child, states = await watched(monkeypatch, *[0] * 100)
    assert states == ["ready"] * 5 + ["silent"] * 15
    assert child.killed == 1
