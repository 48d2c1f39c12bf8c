"""The lines of keys that are at their number of streams."""

from __future__ import annotations

import asyncio

import pytest

from proxy.edge.key_line import KeyLines
from proxy.errors import Drained


async def test_first_come_first_served() -> None:
    """Only the first may ask; when it has gone, the next."""
    lines, order = KeyLines(10), []
    until = asyncio.get_running_loop().time() + 10

    async def wait(name: str) -> None:
        with lines.place("key") as place:
            assert await place.turn(until)
            order.append(name)

    await asyncio.gather(*(wait(name) for name in "abc"))
    assert order == ["a", "b", "c"]
    assert not lines.anybody("key")


async def test_one_that_ended_here_wakes_the_first() -> None:
    """It need not wait until it would look by itself."""
    lines = KeyLines(10)
    loop = asyncio.get_running_loop()
    with lines.place("key") as place:
        turn = asyncio.create_task(place.turn(loop.time() + 10))
        await asyncio.sleep(0)
        lines.one_ended("another")
        lines.one_ended("key")
        assert await turn


async def test_waited_in_vain() -> None:
    """Behind another, its time passes, and it is told so."""
    lines = KeyLines(10)
    loop = asyncio.get_running_loop()
    with lines.place("key"), lines.place("key") as second:
        assert not await second.turn(loop.time() + 0.02)
    assert lines.waiting == 0


async def test_everybody_is_sent_away() -> None:
    """With the error that ends all that runs."""
    lines = KeyLines(1)
    with lines.place("key") as place:
        assert lines.full
        assert lines.turn_away(Drained("It stops.")) == 1
        with pytest.raises(Drained):
            await place.turn(asyncio.get_running_loop().time() + 10)
