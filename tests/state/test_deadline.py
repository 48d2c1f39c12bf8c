"""Deadlines beside a loop that is held up."""

from __future__ import annotations

import asyncio
import time

import pytest

from proxy.state.deadline import deadline


async def test_nothing_comes() -> None:
    """It ends, and the wait is cancelled."""
    waiting = asyncio.get_running_loop().create_future()
    with pytest.raises(TimeoutError):
        async with deadline(0.02):
            await waiting
    assert waiting.cancelled()


async def test_the_loop_was_held_for_longer_than_the_deadline() -> None:
    """An answer that came meanwhile is still taken."""
    loop = asyncio.get_running_loop()
    answer = loop.create_future()

    def hold() -> None:
        time.sleep(0.1)
        # As a socket's bytes: seen only with the loop's next look, after the timers.
        loop.call_later(0, lambda: loop.call_soon(answer.set_result, "there"))

    loop.call_soon(hold)
    async with deadline(0.05):
        assert await answer == "there"


async def test_a_cancellation_from_outside_stays_one() -> None:
    """It is not taken for a timeout."""

    async def wait() -> None:
        async with deadline(10):
            await asyncio.Event().wait()

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_long_queue_that_is_answered() -> None:
    """While others are answered the wait goes on, and without end it does not."""
    came = 0

    async def others() -> None:
        nonlocal came
        while True:
            await asyncio.sleep(0.002)
            came += 1

    answering = asyncio.create_task(others())
    began = time.monotonic()
    with pytest.raises(TimeoutError):
        async with deadline(0.04, lambda: came):
            await asyncio.get_running_loop().create_future()
    assert time.monotonic() - began >= 4 * 0.04 - 0.01
    answering.cancel()
    await asyncio.gather(answering, return_exceptions=True)
