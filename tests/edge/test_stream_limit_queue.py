"""The lines of keys that are at their number of streams."""

from __future__ import annotations

import asyncio

import pytest

from proxy.edge.stream_limit_queue import StreamLimitQueues
from proxy.errors import Drained


async def test_first_come_first_served() -> None:
    """Only the first may ask; when it has gone, the next."""
    lines, order = StreamLimitQueues(10), []
    until = asyncio.get_running_loop().time() + 10

    async def wait(name: str) -> None:
        with lines.place("key") as place:
            assert lines.has_waiters("key")
            assert not lines.has_waiters("another")
            assert await place.wait_turn(until)
            order.append(name)

    await asyncio.gather(*(wait(name) for name in "abc"))
    assert order == ["a", "b", "c"]
    assert not lines.has_waiters("key")


async def test_one_that_ended_here_wakes_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """It need not wait until it would look by itself."""
    monkeypatch.setattr("proxy.edge.stream_limit_queue._ASK_SECONDS", 3600.0)
    lines = StreamLimitQueues(10)
    loop = asyncio.get_running_loop()
    with lines.place("key") as place:
        turn = asyncio.create_task(place.wait_turn(loop.time() + 10))
        await asyncio.sleep(0)
        lines.stream_ended("another")
        lines.stream_ended("key")
        assert await turn


async def test_one_that_ended_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells: the first looks now and then, the others do not, whoever wakes them."""
    monkeypatch.setattr("proxy.edge.stream_limit_queue._ASK_SECONDS", 0.01)
    lines = StreamLimitQueues(10)
    until = asyncio.get_running_loop().time() + 3600
    with lines.place("key") as first, lines.place("key") as second:
        turn = asyncio.create_task(second.wait_turn(until))
        for _ in range(3):
            assert await first.wait_turn(until)
            second.wake()
        assert not turn.done()
        turn.cancel()


async def test_who_leaves_the_line_lets_the_next_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: it may have been the first, whose turn had come."""
    monkeypatch.setattr("proxy.edge.stream_limit_queue._ASK_SECONDS", 3600.0)
    lines = StreamLimitQueues(10)
    until = asyncio.get_running_loop().time() + 3600
    first = lines.place("key")
    first.__enter__()
    with lines.place("key") as second:
        turn = asyncio.create_task(second.wait_turn(until))
        await asyncio.sleep(0)
        first.__exit__(None, None, None)
        assert await asyncio.wait_for(turn, 20)
        assert lines.waiting == 1


async def test_the_lines_of_all_keys_have_one_bound() -> None:
    """A place is free again with the first that leaves, whatever its key."""
    lines = StreamLimitQueues(2)
    full = [lines.full]
    with lines.place("a"):
        full.append(lines.full)
        with lines.place("b"):
            full.append(lines.full)
        full.append(lines.full)
    assert full == [False, False, True, False]


async def test_waited_in_vain() -> None:
    """Behind another, its time passes, and it is told so."""
    lines = StreamLimitQueues(10)
    loop = asyncio.get_running_loop()
    with lines.place("key"), lines.place("key") as second:
        assert not await second.wait_turn(loop.time() + 0.02)
    assert lines.waiting == 0


async def test_everybody_is_sent_away() -> None:
    """With the error that ends all that runs."""
    lines = StreamLimitQueues(1)
    with lines.place("key") as place:
        assert lines.full
        assert lines.reject_all(Drained("It stops.")) == 1
        with pytest.raises(Drained):
            await place.wait_turn(asyncio.get_running_loop().time() + 10)


async def test_who_waits_is_sent_away_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of every key, wherever in its line, and not when its time is over."""
    monkeypatch.setattr("proxy.edge.stream_limit_queue._ASK_SECONDS", 3600.0)
    lines = StreamLimitQueues(10)
    until = asyncio.get_running_loop().time() + 3600

    async def wait(key: str) -> None:
        with lines.place(key) as place:
            await place.wait_turn(until)

    waiting = [asyncio.create_task(wait(key)) for key in "aab"]
    await asyncio.sleep(0)
    assert lines.reject_all(Drained("It stops.")) == 3
    ended = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
    assert [type(error) for error in ended] == [Drained] * 3
