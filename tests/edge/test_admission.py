"""The cap and its waiting line: order, fairness, limits, and no leak on any exit."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest

from proxy.edge.admission import Admission, share
from proxy.errors import Drained, Overloaded, headers_of


class Clock:
    now = 1000.0

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
    inside = peak = 0

    async def hold_slot() -> None:
        nonlocal inside, peak
        async with gate.slot():
            inside += 1
            peak = max(peak, inside)
            await asyncio.sleep(0)
            inside -= 1

    await asyncio.gather(*(hold_slot() for _ in range(50)))
    assert peak == 3
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_first_come_first_served() -> None:
    """Those of one key are served in the order in which they came."""
    gate = admission()
    order: list[int] = []

    async def hold_slot(number: int) -> None:
        async with gate.slot():
            order.append(number)
            await asyncio.sleep(0)

    await asyncio.gather(*(hold_slot(number) for number in range(8)))
    assert order == list(range(8))


async def test_a_greedy_key_does_not_starve_the_rest() -> None:
    """Slots go round the keys: a late client with one request waits for one turn, not for fifty."""
    gate = admission(queue=100)
    order: list[str] = []

    async def hold_slot(key: str) -> None:
        async with gate.slot(key):
            order.append(key)
            await asyncio.sleep(0)

    tasks = [asyncio.create_task(hold_slot("greedy")) for _ in range(50)]
    await asyncio.sleep(0)
    tasks += [asyncio.create_task(hold_slot("modest")) for _ in range(2)]
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


async def test_those_who_are_refused_at_once_come_back_apart() -> None:
    """Over some seconds, nobody before it is of use and nobody much later."""
    gate = admission(queue=0)
    delays = []
    async with gate.slot():
        for _ in range(200):
            with pytest.raises(Overloaded) as refused:
                await _pass(gate)
            delays.append(headers_of(refused.value)["Retry-After"])
    assert set(delays) >= {"2", "3", "4", "5"}
    assert set(delays) <= {"1", "2", "3", "4", "5"}


async def test_a_wait_that_is_too_long() -> None:
    """Who has waited for the queue's timeout is refused, and leaves the line."""
    gate = admission(timeout=0.02)
    async with gate.slot():
        with pytest.raises(Overloaded, match="within 0.02 s"):
            await _pass(gate)
        assert gate.waiting == 0
    assert gate.taken == 0


async def test_a_wait_that_would_be_too_long() -> None:
    """By how long slots are held, without idle times: refused at once, with the expected wait."""
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
        assert 9 <= (refused.value.retry_after or 0) <= 26
    await asyncio.gather(*waiters, return_exceptions=True)
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_the_wait_that_is_expected() -> None:
    """As long as slots are held, by the turn one would have, and as many at once as there are."""
    clock = Clock()
    gate = Admission(2, 1000, 4.0, clock=clock)
    async with gate.slot():
        clock.now += 4.0
    async with gate.slot(), gate.slot():
        assert gate.expected_wait("") == 2.0
        waiters = [asyncio.create_task(_pass(gate)) for _ in range(2)]
        await settle()
        # Just as long as the longest wait that is allowed is still allowed.
        assert (gate.expected_wait(""), gate.waiting) == (6.0, 2)
    await asyncio.gather(*waiters)


async def test_it_is_idle_while_nobody_has_a_slot() -> None:
    """At first, and again once the last has given it back."""
    gate = admission(slots=2)
    await asyncio.wait_for(gate.idle(), 1)
    async with gate.slot():
        async with gate.slot():
            waiting = asyncio.create_task(gate.idle())
        await settle()
        assert not waiting.done()
    await asyncio.wait_for(waiting, 1)


async def test_all_who_wait_are_turned_away() -> None:
    """Each with the error; who has just left is not counted."""
    gate = admission()
    async with gate.slot():
        tasks = [asyncio.create_task(_pass(gate)) for _ in range(3)]
        await settle()
        tasks[1].cancel()
        assert gate.reject_all(Drained("Stopping.")) == 2
        ended = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(error) for error in ended] == [Drained, asyncio.CancelledError, Drained]
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_a_key_whose_turn_came_too_late_holds_nothing() -> None:
    """Its next request is served in the order in which it came."""
    gate, order = admission(), []

    async def noted(name: str) -> None:
        async with gate.slot(name[0]):
            order.append(name)
            await settle()

    since = await gate.take("")
    gone = asyncio.create_task(noted("a1"))
    others = [asyncio.create_task(noted("c1"))]
    await settle()
    gone.cancel()
    # Its task has had no time to leave the line when its turn comes.
    gate.give_back("", since)
    others += [asyncio.create_task(noted("a2")), asyncio.create_task(noted("b1"))]
    await asyncio.gather(*others)
    assert order == ["c1", "a2", "b1"]


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


async def _pass(gate: Admission, key: str = "") -> None:
    async with gate.slot(key):
        await asyncio.sleep(0)


async def test_the_wait_is_measured() -> None:
    """Whether it ends in a slot or in a refusal."""
    clock = Clock()
    clock.now = 100.0
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


async def test_a_full_line_of_a_greedy_key() -> None:
    """A polite newcomer waits in the place of the greedy key's last, which is told when to come."""
    gate = admission(queue=3)
    async with gate.slot("greedy"):
        greedy = [asyncio.create_task(_pass(gate, "greedy")) for _ in range(3)]
        await settle()
        polite = asyncio.create_task(_pass(gate, "polite"))
        await settle()
        assert [task.done() for task in greedy] == [False, False, True]
        refused = greedy[2].exception()
        assert isinstance(refused, Overloaded)
        assert refused.retry_after is not None
        assert gate.waiting == 3
        with pytest.raises(Overloaded, match="line is full"):
            await _pass(gate, "greedy")
    await asyncio.gather(polite, *greedy[:2])
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_the_one_sent_away_leaves_in_the_same_moment() -> None:
    """A wait that is cancelled as its place is taken leaks neither a slot nor a place."""
    gate = admission(queue=2)
    async with gate.slot("greedy"):
        greedy = [asyncio.create_task(_pass(gate, "greedy")) for _ in range(2)]
        await settle()
        polite = [asyncio.create_task(_pass(gate, "polite"))]
        greedy[1].cancel()
        await settle()
        assert gate.waiting == 2
        greedy[0].cancel()
        polite.append(asyncio.create_task(_pass(gate, "other")))
        await settle()
    await asyncio.gather(*polite)
    assert (gate.taken, gate.waiting) == (0, 0)


async def test_slots_go_to_the_key_that_holds_fewest() -> None:
    """One that holds nine of ten slots for long does not get the tenth before a newcomer."""
    gate = admission(slots=2, queue=100)
    order: list[str] = []

    async def hold_slot(key: str) -> None:
        async with gate.slot(key):
            order.append(key)
            await asyncio.sleep(0)

    stuck, other = gate.slot("greedy"), gate.slot("other")
    await stuck.__aenter__()
    await other.__aenter__()
    tasks = [asyncio.create_task(hold_slot("greedy")) for _ in range(5)]
    await settle()
    tasks += [asyncio.create_task(hold_slot("polite")) for _ in range(2)]
    await settle()
    await other.__aexit__(None, None, None)
    await asyncio.gather(*tasks)
    assert order[:2] == ["polite", "polite"]
    await stuck.__aexit__(None, None, None)


async def test_who_waits_knows_the_place() -> None:
    """First in line is 1; slots go round the keys; it is 0 before the line and with the slot."""
    admission = Admission(1, 10, 10.0)
    assert admission.slot("a").position() == 0
    names = ["b1", "b2", "c1"]
    slots = {name: admission.slot(name[0]) for name in names}
    served = []

    async def wait(name: str) -> None:
        async with slots[name]:
            assert slots[name].position() == 0
            served.append(name)

    async with admission.slot("a"):
        tasks = [asyncio.create_task(wait(name)) for name in names]
        await asyncio.sleep(0)
        places = {name: slots[name].position() for name in names}
    await asyncio.gather(*tasks)
    assert places == {"b1": 1, "c1": 2, "b2": 3}
    assert served == sorted(names, key=places.__getitem__)
