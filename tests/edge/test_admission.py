"""The cap and its waiting line: order, fairness, limits, and no leak on any exit."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from proxy.edge.admission import Admission, share
from proxy.errors import Overloaded


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def admission(slots: int = 1, queue: int = 10, timeout: float = 30.0) -> Admission:
    return Admission(slots, queue, timeout, clock=Clock())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.mark.parametrize(("total", "workers"), [(10, 1), (10, 3), (7, 4), (4, 4)])
def test_the_workers_shares_add_up(total: int, workers: int) -> None:
    """The cap is one number over all workers, not one for each."""
    parts = [share(total, workers, index) for index in range(workers)]
    assert sum(parts) == total
    assert max(parts) - min(parts) <= 1


async def test_never_more_than_the_cap() -> None:
    """However many come, no more than the slots are inside at once."""
    gate = admission(slots=3, queue=100)
    inside = most = 0

    async def visit() -> None:
        nonlocal inside, most
        async with gate.slot():
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(visit() for _ in range(50)))
    assert most == 3
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_first_come_first_served() -> None:
    """Those of one key are served in the order in which they came."""
    gate = admission()
    order: list[int] = []

    async def visit(number: int) -> None:
        async with gate.slot():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(visit(number) for number in range(8)))
    assert order == list(range(8))


async def test_a_greedy_key_does_not_starve_the_rest() -> None:
    """Slots go round the keys: a late client with one request waits for one turn, not for fifty."""
    gate = admission(queue=100)
    order: list[str] = []

    async def visit(key: str) -> None:
        async with gate.slot(key):
            order.append(key)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(visit("greedy")) for _ in range(50)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(visit("modest")) for _ in range(2)]
    await asyncio.gather(*tasks)
    assert order.index("modest") <= 3
    assert Counter(order) == {"greedy": 50, "modest": 2}


async def test_a_full_line() -> None:
    """Who finds the line full is refused at once, and told when to come again."""
    gate = admission(queue=1)
    async with gate.slot():
        waiter = asyncio.create_task(_pass(gate))
        await settle()
        with pytest.raises(Overloaded, match="line is full") as refused:
            await _pass(gate)
    assert refused.value.retry_after is not None
    await waiter


async def test_a_wait_that_is_too_long() -> None:
    """Who has waited for the queue's timeout is refused, and leaves the line."""
    gate = admission(timeout=0.02)
    async with gate.slot():
        with pytest.raises(Overloaded, match="within 0.02 s"):
            await _pass(gate)
        assert gate.waiting == 0
    assert gate.taken == 0


async def test_a_wait_that_would_be_too_long() -> None:
    """By how long slots are held, quiet hours aside: refused at once, with the time it takes."""
    clock = Clock()
    gate = Admission(1, 1000, 10.0, clock=clock)
    for _ in range(20):
        async with gate.slot():
            clock.now += 1.0
    clock.now += 3600
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(gate.slot())
        waiters = [asyncio.create_task(_pass(gate)) for _ in range(9)]
        await settle()
        with pytest.raises(Overloaded, match="would be too long") as refused:
            for _ in range(3):
                waiters.append(asyncio.create_task(_pass(gate)))
                await settle()
                await _pass(gate)
        assert refused.value.retry_after == pytest.approx(11, abs=2)
    await asyncio.gather(*waiters, return_exceptions=True)
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_a_client_that_leaves_leaves_the_line() -> None:
    """A cancelled wait takes no slot, then or later."""
    gate = admission()
    async with gate.slot():
        waiter = asyncio.create_task(_pass(gate))
        await settle()
        waiter.cancel()
        await settle()
        assert gate.waiting == 0
    assert gate.taken == 0


async def test_a_client_that_leaves_as_its_turn_comes() -> None:
    """A slot given in the moment of leaving goes to the next in line."""
    gate = admission()
    holder = await _hold(gate)
    first, second = asyncio.create_task(_pass(gate)), asyncio.create_task(_pass(gate))
    await settle()
    await holder.aclose()
    first.cancel()
    await asyncio.wait_for(second, 1)
    assert (gate.taken, gate.waiting) == (0, 0)


@pytest.mark.parametrize("error", [ValueError("x"), asyncio.CancelledError()])
async def test_every_exit_frees_the_slot(error: BaseException) -> None:
    """A failure inside, or cancellation, gives the slot back."""
    gate = admission()
    with pytest.raises(type(error)):
        async with gate.slot():
            raise error
    assert gate.taken == 0
    await asyncio.wait_for(gate.idle(), 1)


async def _pass(gate: Admission) -> None:
    async with gate.slot():
        await asyncio.sleep(0)


async def test_the_wait_is_measured() -> None:
    """Whether it ends in a slot or in a refusal."""
    clock = Clock()
    gate = Admission(1, 10, 30.0, clock=clock)
    async with gate.slot() as first:
        assert first.waited == 0.0
        second = gate.slot()
        waiter = asyncio.create_task(second.__aenter__())
        await settle()
        clock.now += 2.0
    await waiter
    assert second.waited == 2.0
    await second.__aexit__(None, None, None)


async def _hold(gate: Admission) -> AsyncExitStack:
    stack = AsyncExitStack()
    await stack.enter_async_context(gate.slot())
    return stack
