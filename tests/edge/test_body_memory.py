"""The bytes of request bodies that a worker holds at once."""

from __future__ import annotations

import asyncio

import pytest

from proxy.edge.body_memory import SMALL_BYTES, BodyMemory
from proxy.errors import BodyTooLarge, Overloaded

MIB = 1024 * 1024


def memory(budget: int = 8 * MIB, wait: float = 5.0, line: int = 10) -> BodyMemory:
    return BodyMemory(budget, wait_seconds=wait, most_waiting=line)


async def test_who_finds_no_room_waits_for_it() -> None:
    """And goes on as soon as another has ended."""
    bodies = memory()
    first, second = bodies.hold(), bodies.hold()
    await first.take(5 * MIB)
    waiting = asyncio.create_task(second.take(4 * MIB))
    await asyncio.sleep(0)
    assert (bodies.waiting, bodies.used) == (1, 5 * MIB)
    first.release()
    await waiting
    assert (bodies.waiting, bodies.used) == (0, 4 * MIB)
    second.release()
    second.release()
    assert bodies.used == 0


async def test_who_waits_too_long_is_refused() -> None:
    """With a time to come back; nothing of the wait is left."""
    bodies = memory(wait=0.01)
    first = bodies.hold()
    await first.take(6 * MIB)
    with pytest.raises(Overloaded) as refused:
        await bodies.hold().take(4 * MIB)
    assert refused.value.retry_after
    assert (bodies.waiting, bodies.used) == (0, 6 * MIB)


async def test_a_line_has_an_end() -> None:
    """Beyond it nobody is kept waiting."""
    bodies = memory(line=0)
    await bodies.hold().take(6 * MIB)
    with pytest.raises(Overloaded):
        await bodies.hold().take(4 * MIB)


async def test_large_bodies_leave_room_for_small_ones() -> None:
    """Uploads that never end do not keep questions out."""
    bodies = memory(wait=0.01)
    await bodies.hold().take(6 * MIB)
    await bodies.hold().take(SMALL_BYTES)
    with pytest.raises(Overloaded):
        await bodies.hold().take(SMALL_BYTES + 1)


async def test_small_ones_pass_a_large_one_that_waits() -> None:
    """It waits for what they would not leave it anyway."""
    bodies = memory()
    first, large, small = bodies.hold(), bodies.hold(), bodies.hold()
    await first.take(6 * MIB)
    waits = [asyncio.create_task(large.take(5 * MIB)), asyncio.create_task(small.take(100))]
    await asyncio.sleep(0)
    first.release(4 * MIB)
    await waits[1]
    assert not waits[0].done()
    small.release()
    first.release()
    await waits[0]


async def test_who_grows_comes_before_who_has_not_begun() -> None:
    """What it holds is free only once it has ended."""
    bodies = memory()
    grows, other, new = bodies.hold(), bodies.hold(), bodies.hold()
    await grows.take(2 * MIB)
    await other.take(4 * MIB)
    waits = [asyncio.create_task(new.take(2 * MIB)), asyncio.create_task(grows.take(2 * MIB))]
    await asyncio.sleep(0)
    other.release(2 * MIB)
    await waits[1]
    assert not waits[0].done()
    grows.release()
    await waits[0]


async def test_a_request_that_is_cancelled_leaves_the_line() -> None:
    """A client that left holds nothing and waits for nothing."""
    bodies = memory()
    first = bodies.hold()
    await first.take(6 * MIB)
    waiting = asyncio.create_task(bodies.hold().take(4 * MIB))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert bodies.waiting == 0
    first.release()
    assert bodies.used == 0


async def test_what_can_never_fit() -> None:
    """It is too large, and the words name the setting; what just fits has everything, alone."""
    bodies = memory()
    with pytest.raises(BodyTooLarge, match="SLUICE_BODY_MEMORY_BYTES"):
        await bodies.hold().take(8 * MIB + 1)
    await bodies.hold().take(8 * MIB)


async def test_a_copy_counts_without_a_wait() -> None:
    """Whoever comes meanwhile waits until it is gone."""
    bodies = memory()
    large = bodies.hold()
    await large.take(6 * MIB)
    with bodies.copied(6 * MIB):
        assert bodies.used == 12 * MIB
        waiting = asyncio.create_task(bodies.hold().take(1))
        await asyncio.sleep(0)
        assert bodies.waiting == 1
    await waiting
    assert bodies.used == 6 * MIB + 1


async def test_what_can_be_done_without() -> None:
    """It is held if there is room for it at once and nobody waits; else not, and nothing waits."""
    bodies = memory()
    first = bodies.hold()
    assert first.has_room(6 * MIB)
    assert not bodies.hold().has_room(4 * MIB)
    waiting = asyncio.create_task(bodies.hold().take(4 * MIB))
    await asyncio.sleep(0)
    assert not bodies.hold().has_room(1)
    assert bodies.used == 6 * MIB
    first.release()
    await waiting
    assert bodies.used == 4 * MIB
