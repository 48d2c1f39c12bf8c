"""Who reads here: what is made in this worker is handed on, all else is read from the store."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End, Entry, EntryId, heartbeat_of, joined, keys_of
from proxy.state.log_followers import LogFollowers
from proxy.state.log_reader import LogGone, LogReader
from proxy.state.produced_log import ProducedLog
from tests.state.answering_store import PIPELINE, AnsweringStore, Asked, until
from tests.state.test_produced_log import Owner

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

AWAY = StoreUnavailable("timeout")
ONE, TWO = "1" * 32, "2" * 32
PRODUCER = "producer"


class Blocking:
    """A connection of its own for the read that blocks; answers what a test puts into it."""

    def __init__(self, *, one_node: bool = True) -> None:
        self.one_node = one_node
        self.asked: list[tuple[Any, ...]] = []
        self.closed = False
        self._answers: deque[Any] = deque()
        self._some = asyncio.Event()

    def answer(self, answer: Any) -> None:
        """Let the read that waits, or the next, have this answer."""
        self._answers.append(answer)
        self._some.set()

    async def connect(self) -> None:
        """It is connected."""

    async def run(self, commands: Any, _seconds: float) -> list[Any]:
        [command] = commands
        self.asked.append(command)
        while not self._answers:
            self._some.clear()
            await self._some.wait()
        answer = self._answers.popleft()
        if isinstance(answer, StoreUnavailable):
            raise answer
        return [answer]

    async def forget(self) -> None:
        """There are no idle connections."""

    async def close(self) -> None:
        self.closed = True

    def positions(self, place: int = -1) -> dict[bytes | str, bytes | str]:
        """What a read asked for: each key with the entry after which it goes on."""
        command = self.asked[place]
        named = command[command.index("STREAMS") + 1 :]
        half = len(named) // 2
        return dict(zip(named[:half], named[half:], strict=True))


class Orphans:
    """Remembers whom it was given."""

    def __init__(self) -> None:
        self.ended: list[str] = []

    async def end(self, stream_id: str) -> bool:
        self.ended.append(stream_id)
        return True


class Clock:
    """Stands in for the time module."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class World:
    """Followers with all that is around them."""

    def __init__(self, *, one_node: bool = True, **answers: Any) -> None:
        self.store = AnsweringStore(one_node=one_node, **(usual() | answers))
        self.blocking = Blocking(one_node=one_node)
        self.orphans = Orphans()
        self.running: dict[str, ProducedLog] = {}
        writer = SimpleNamespace(worker="here", running=self.running)
        self.followers = LogFollowers(
            self.store.as_store, self.blocking, cast("Any", writer), cast("Any", self.orphans)
        )

    def produce(self, stream_id: str) -> ProducedLog:
        """A log that is made in this worker."""
        log = self.running[stream_id] = ProducedLog(Owner(), stream_id, 10**6)
        return log

    async def reader(self, stream_id: str = ONE, lease: str = "lease") -> LogReader:
        """A reader that has had all that the store has."""
        reader = LogReader(self.store.as_store, self.followers, stream_id, 0, lease)
        self.followers.expect(stream_id, PRODUCER)
        assert await reader.next(0.0) is None
        return reader


def began(asked: Asked) -> list[Any]:
    """A log without an event so far."""
    return [[b"0-1", [b"start", b"1"]]] if asked.arguments[0] == "0-0" else []


def usual() -> dict[str, Any]:
    """A store that has every log, and sees every producer live."""
    return {
        "log_lease": lambda asked: [1] * (len(asked.keys) // 3),
        "log_wake": 1,
        "log_read": began,
        PIPELINE: lambda asked: [1] * len(asked.keys),
    }


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    for name in ("CHECK_SECONDS", "_RETRY_SECONDS", "_POLL_SECONDS"):
        monkeypatch.setattr(f"proxy.state.log_followers.{name}", 0.0)
    clock = Clock()
    monkeypatch.setattr("proxy.state.log_followers.time", clock)
    return clock


@asynccontextmanager
async def following(**more: Any) -> AsyncIterator[World]:
    world = World(**more)
    async with world.followers:
        yield world


def raw(entry: Entry) -> list[Any]:
    """As the store answers it."""
    fields = [b"l", joined(entry.lengths).encode(), b"d", entry.data]
    return [str(entry.id).encode(), fields]


def batch(last: int, *events: bytes) -> Entry:
    """Events of which the last has this number."""
    return Entry(EntryId(last), tuple(map(len, events)), b"".join(events))


def events_key(stream_id: str) -> bytes:
    return keys_of(stream_id)[1].encode()


async def some_time() -> None:
    """Let everything that is due run."""
    for _ in range(30):
        await asyncio.sleep(0)


async def read(reader: LogReader) -> list[bytes]:
    """The next events that the reader is given."""
    entry = await reader.next(20)
    assert entry is not None
    return list(entry.events)


async def test_what_is_made_here_is_handed_on_without_the_store() -> None:
    """The end as well; nothing is read for it."""
    async with following() as world:
        log = world.produce(ONE)
        reader = await world.reader()
        log.add(b"one")
        log.take()
        assert await read(reader) == [b"one"]
        log.unsent.clear()
        log.end(End("complete"))
        log.take_end()
        entry = await reader.next(20)
        assert entry is not None
        assert entry.end == End("complete")
        assert world.blocking.asked == []


async def test_what_is_made_elsewhere_is_read_for_all_its_readers_at_once() -> None:
    """Each entry once; the next read goes on after it."""
    async with following() as world:
        first, second = await world.reader(), await world.reader(lease="other")
        await until(lambda: world.blocking.asked)
        assert world.blocking.positions()[events_key(ONE)] == "0-1"
        world.blocking.answer([(events_key(ONE), [raw(batch(2, b"a", b"b"))])])
        assert await read(first) == await read(second) == [b"a", b"b"]
        await until(lambda: len(world.blocking.asked) == 2)
        assert world.blocking.positions()[events_key(ONE)] == "2-0"


async def test_a_further_log_is_not_kept_waiting_by_a_read_that_blocks() -> None:
    """The read is woken through the store, and goes on with both; a wake-up is had once."""
    async with following() as world:
        await world.reader(ONE)
        await until(lambda: world.blocking.asked)
        woken = len(world.store.calls("log_wake"))
        await world.reader(TWO)
        wakes = world.store.calls("log_wake")
        assert len(wakes) == woken + 1
        [inbox] = wakes[-1].keys
        assert world.blocking.positions()[inbox] == b"0-0"
        world.blocking.answer([(inbox.encode(), [[b"7-0", []]])])
        await until(lambda: len(world.blocking.asked) == 2)
        positions = world.blocking.positions()
        assert {events_key(ONE), events_key(TWO)} < set(positions)
        assert positions[inbox] == b"7-0"


async def test_a_wake_up_that_cannot_be_sent_costs_nobody_the_stream() -> None:
    """The read ends by itself."""
    async with following(log_wake=AWAY) as world:
        await world.reader(ONE)
        await until(lambda: world.blocking.asked)
        await world.reader(TWO)
        world.blocking.answer(None)
        await until(lambda: events_key(TWO) in world.blocking.positions())


@pytest.mark.parametrize("failure", [AWAY, ValueError("an error reply")])
async def test_a_read_that_fails_is_made_again(failure: Exception) -> None:
    """From the same place."""
    async with following() as world:
        reader = await world.reader()
        world.blocking.answer(failure)
        world.blocking.answer([(events_key(ONE), [raw(batch(1, b"a"))])])
        assert await read(reader) == [b"a"]
        assert world.blocking.positions(0) == world.blocking.positions(1)


async def test_nothing_is_read_where_nobody_reads() -> None:
    """The store is neither read nor asked about anybody once the last reader has left."""
    async with following() as world:
        await some_time()
        assert world.blocking.asked == []
        assert world.store.asked == []
        first, second = await world.reader(), await world.reader()
        world.followers.leave(first)
        await until(lambda: world.blocking.asked)
        assert world.followers.readers == 1
        world.followers.leave(second)
        world.followers.leave(second)
        world.blocking.answer(None)
        await some_time()
        reads, asked = len(world.blocking.asked), len(world.store.asked)
        await some_time()
        assert (reads, asked) == (1, len(world.store.asked))
        assert world.followers.readers == 0


async def test_the_last_reader_of_a_log_made_here_leaves() -> None:
    """Its producer is not to gather for readers of whom there are none, a lost log above all."""
    async with following() as world:
        log = world.produce(ONE)
        first, second = await world.reader(), await world.reader()
        world.followers.leave(first)
        assert log.written is not None
        world.followers.leave(second)
        assert log.written is None


async def test_a_log_that_has_ended_here_is_read_from_the_store() -> None:
    """From where its readers are; the worker keeps nothing of it any more."""
    async with following() as world:
        log = world.produce(ONE)
        await world.reader()
        log.add(b"one")
        log.take()
        await some_time()
        assert world.blocking.asked == []
        log.ended.set()
        await until(lambda: world.blocking.asked)
        assert world.blocking.positions()[events_key(ONE)] == "1-0"


async def test_a_log_that_is_lost_here_is_not_looked_for_in_the_store() -> None:
    """Its readers here are handed the rest; that the store has it no more does not end them."""
    async with following(log_lease=lambda asked: [0] * (len(asked.keys) // 3)) as world:
        log = world.produce(ONE)
        reader = await world.reader()
        log.give_up("forgotten")
        await until(lambda: world.store.calls("log_lease"))
        await some_time()
        log.add(b"one")
        log.take()
        assert await read(reader) == [b"one"]
        assert world.blocking.asked == []


async def test_the_producer_hears_who_reads(clock: Clock) -> None:
    """Every lease is renewed, several times in its life, and not at each look."""
    async with following() as world:
        await world.reader(lease="a")
        await world.reader(lease="b")
        await until(lambda: world.store.calls("log_lease"))
        await some_time()
        [renewed] = world.store.calls("log_lease")
        assert renewed.keys == keys_of(ONE)
        assert renewed.arguments[:2] == (5000, 2)
        assert set(renewed.arguments[2:]) == {"a", "b"}
        clock.now += 2
        await until(lambda: len(world.store.calls("log_lease")) == 2)


@pytest.mark.parametrize(("one_node", "calls"), [(True, 1), (False, 2)])
async def test_how_many_logs_one_renewal_names(clock: Clock, one_node: bool, calls: int) -> None:
    """In a cluster each log lies on a node of its own."""
    async with following(one_node=one_node) as world:
        await world.reader(ONE)
        await world.reader(TWO)
        await until(lambda: world.store.calls("log_lease"))
        world.store.asked.clear()
        clock.now += 2
        await until(lambda: world.store.calls("log_lease"))
        await some_time()
        assert len(world.store.calls("log_lease")) == calls


async def test_a_log_that_the_store_has_no_more() -> None:
    """Its readers are told, and only they."""

    def there(asked: Asked) -> list[int]:
        return [int(key != keys_of(ONE)[0]) for key in asked.keys[::3]]

    async with following(log_lease=there) as world:
        gone, kept = await world.reader(ONE), await world.reader(TWO)
        with pytest.raises(LogGone):
            await gone.next(20)
        assert kept._error is None


async def test_a_producer_whose_heartbeat_stays_away_is_dead(clock: Clock) -> None:
    """All its logs that are read here get their end; a single look is no proof."""
    alive = {PIPELINE: lambda asked: [0] * len(asked.keys)}
    async with following(**alive) as world:
        await world.reader(ONE)
        await world.reader(TWO)
        await until(lambda: world.store.calls(PIPELINE))
        assert world.store.calls(PIPELINE)[0].keys == (("EXISTS", heartbeat_of(PRODUCER)),)
        clock.now += 0.7
        await some_time()
        assert world.orphans.ended == []
        clock.now += 0.2
        await until(lambda: world.orphans.ended)
        assert set(world.orphans.ended) == {ONE, TWO}


@pytest.mark.parametrize("meanwhile", [[1], [Exception("an error reply")], AWAY], ids=str)
async def test_a_heartbeat_that_was_missed_for_a_moment(clock: Clock, meanwhile: Any) -> None:
    """Seen again, or not to be known: the time during which it is missing begins anew."""
    async with following(**{PIPELINE: [0]}) as world:
        await world.reader()
        await until(lambda: world.followers._missing_since)
        clock.now += 0.5
        world.store.answers[PIPELINE] = meanwhile
        await until(lambda: not world.followers._missing_since)
        world.store.answers[PIPELINE] = [0]
        await until(lambda: world.followers._missing_since)
        clock.now += 0.5
        await some_time()
        assert world.orphans.ended == []


async def test_a_log_of_this_worker_is_not_taken_for_dead(clock: Clock) -> None:
    """Nobody asks after its heartbeat."""
    async with following(**{PIPELINE: [0]}) as world:
        world.produce(ONE)
        await world.reader()
        await until(lambda: world.store.calls("log_lease"))
        clock.now += 10
        await some_time()
        assert world.store.calls(PIPELINE) == []
        assert world.orphans.ended == []


async def test_a_store_that_stays_away(clock: Clock) -> None:
    """Who needs it is told after a while; who reads what is made here is not disturbed."""
    async with following(**{PIPELINE: AWAY}) as world:
        world.produce(TWO)
        far, near = await world.reader(ONE), await world.reader(TWO)
        await until(lambda: world.followers._away_since)
        clock.now += 5.9
        await some_time()
        assert far._error is None
        clock.now += 0.2
        with pytest.raises(StoreUnavailable):
            await far.next(20)
        assert near._error is None


async def test_a_store_that_comes_and_goes(clock: Clock) -> None:
    """Two short absences are no long one."""
    async with following(**{PIPELINE: AWAY}) as world:
        reader = await world.reader()
        await until(lambda: world.followers._away_since)
        clock.now += 4
        world.store.answers[PIPELINE] = [1]
        await until(lambda: world.followers._away_since is None)
        world.store.answers[PIPELINE] = AWAY
        await until(lambda: world.followers._away_since)
        clock.now += 4
        await some_time()
        assert reader._error is None


async def test_in_a_cluster_each_log_is_polled() -> None:
    """One read cannot name keys of several nodes; a node that is away delays its own logs only."""

    def found(asked: Asked) -> list[Any]:
        if asked.keys != keys_of(ONE):
            raise AWAY
        return [raw(batch(1, b"a"))] if asked.arguments[0] == "0-1" else []

    async with following(one_node=False) as world:
        await some_time()
        assert world.store.calls("log_read") == []
        reader = await world.reader(ONE)
        await world.reader(TWO)
        world.store.answers["log_read"] = found
        assert await read(reader) == [b"a"]
        await until(
            lambda: ("1-0", 32) in [call.arguments for call in world.store.calls("log_read")]
        )
        assert world.blocking.asked == []


async def test_it_stops_with_its_worker() -> None:
    """No task and no connection is left behind."""
    before = asyncio.all_tasks()
    async with following() as world:
        await world.reader()
        await until(lambda: world.blocking.asked)
    assert world.blocking.closed
    assert asyncio.all_tasks() == before
