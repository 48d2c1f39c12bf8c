from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from bench.upstream.pacer import Pacer

MILLISECOND = 1_000_000


class Beats:
    """Beats so many times, an interval apart."""

    def __init__(self, name: str, log: list[str], start: int, interval: int, times: int) -> None:
        self.name, self.log, self.due, self.interval = name, log, start, interval
        self.times = times
        self.early = False
        self.over = asyncio.Event()

    def beat(self, now: int) -> int | None:
        """Note the beat down, and whether it came early."""
        self.early |= now < self.due
        self.log.append(self.name)
        self.times -= 1
        self.due += self.interval
        if self.times:
            return self.due
        self.over.set()
        return None


@pytest.fixture
async def pacer() -> AsyncIterator[Pacer]:
    """One on the running loop."""
    pacer = Pacer(asyncio.get_running_loop())
    yield pacer
    pacer.close()


async def test_two_streams_of_different_pace(pacer: Pacer) -> None:
    """Each beat comes in the order of its due time, none of them early."""
    log: list[str] = []
    start = time.monotonic_ns() + 20 * MILLISECOND
    slow = Beats("slow", log, start + 5 * MILLISECOND, 20 * MILLISECOND, 2)
    quick = Beats("quick", log, start, 10 * MILLISECOND, 3)
    pacer.add(slow.due, slow)
    pacer.add(quick.due, quick)
    async with asyncio.timeout(5):
        await slow.over.wait()
    assert log == ["quick", "slow", "quick", "quick", "slow"]
    assert not slow.early
    assert not quick.early


async def test_a_due_time_that_has_passed(pacer: Pacer) -> None:
    """It is made up for at once, one beat after the other."""
    log: list[str] = []
    late = Beats("late", log, time.monotonic_ns() - 50 * MILLISECOND, 10 * MILLISECOND, 5)
    pacer.add(late.due, late)
    async with asyncio.timeout(5):
        await late.over.wait()
    assert log == ["late"] * 5


async def test_an_earlier_one_is_added_later(pacer: Pacer) -> None:
    """The timer is set anew for it."""
    log: list[str] = []
    now = time.monotonic_ns()
    far = Beats("far", log, now + 3600 * 1000 * MILLISECOND, 1, 1)
    near = Beats("near", log, now + 5 * MILLISECOND, 1, 1)
    pacer.add(far.due, far)
    pacer.add(near.due, near)
    async with asyncio.timeout(5):
        await near.over.wait()
    assert log == ["near"]
