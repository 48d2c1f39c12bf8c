"""Logs on a real store: written, read, cut short, taken over, lost."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.state import script
from proxy.state.backend import backend_for
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End, Entry, keys_of
from proxy.state.log_reader import LogReader
from proxy.state.log_unconfirmed import FORGOTTEN
from proxy.state.produced_log import ProducedLog
from proxy.state.store import LANES, Store
from proxy.state.stream_logs import StreamLogs, TooManyReaders
from proxy.store_address import parse
from tests.fixtures.stores import StoreServer, cluster, sentinel_set, store_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

LOOK = script.load("log_look", "log")
WORDS = b'data: {"error": "lost"}\n\n'


def make_end(
    _header: Mapping[str, str],
    last: Entry,
    producer_alive: bool,
) -> tuple[bytes, End]:
    error = "log_lost" if producer_alive else "producer_lost"
    return WORDS, End("failed", error, events=last.id.event + 1)


@asynccontextmanager
async def logs_on(
    url: str, readers: int = 100, ttl_seconds: float = 60
) -> AsyncIterator[StreamLogs]:
    """One worker's logs."""
    async with Store(backend_for(parse(url), LANES), 5.0) as store:
        assert await store.ready(20)
        async with StreamLogs(
            store,
            backend_for(parse(url), 1),
            ttl_seconds=ttl_seconds,
            open_seconds=5,
            stream_bytes=10**6,
            total_bytes=10**8,
            readers_per_stream=readers,
            make_end=make_end,
        ) as logs:
            yield logs


async def written(log: ProducedLog) -> None:
    """Wait until the store has all that was added."""
    async with asyncio.timeout(20):
        while log.waiting_bytes:
            await asyncio.sleep(0.01)


async def read(logs: StreamLogs, stream: str, cursor: int, max_events: int = 10**6) -> list[bytes]:
    """Events from a cursor on, until the end or until so many have come."""
    log_and_reader = await logs.read(stream, "me", cursor)
    assert log_and_reader is not None
    reader: LogReader = log_and_reader[1]
    events: list[bytes] = []
    try:
        async with asyncio.timeout(20):
            while len(events) < max_events:
                batch = await reader.next(0.5)
                if batch is not None:
                    events += batch.events
                    if batch.end is not None:
                        break
    finally:
        logs.leave(reader)
    return events[:max_events]


def event(number: int) -> bytes:
    return f"data: {number}\n\n".encode()


async def produce(logs: StreamLogs, pauses: list[int]) -> tuple[str, asyncio.Task[None]]:
    """A log that grows by an event, with a pause of so many milliseconds after each."""
    log = await logs.writer.open({"owner": "me"})

    async def go() -> None:
        for number, pause in enumerate(pauses, 1):
            log.add(event(number))
            if pause:
                await asyncio.sleep(pause / 1000)
        log.end(End("complete", whole=True, events=len(pauses)))
        await log.ended.wait()

    return log.id, asyncio.create_task(go())


async def test_a_log_that_ends_at_once_has_its_whole_header() -> None:
    """What was to be told with the next look at it is told with its end."""
    with store_server() as server:
        async with logs_on(server.url) as logs:
            log = await logs.writer.open({"owner": "me"})
            log.header["head"] = '{"x-upstream": "1"}'
            log.add(event(1))
            log.end(End("complete", whole=True, events=1))
            await asyncio.wait_for(log.ended.wait(), 20)
            state = await logs.look(log.id, "me")
    assert state is not None
    assert state.header["head"] == '{"x-upstream": "1"}'
    assert state.events == 1


def test_readers_that_break_anywhere() -> None:
    """Several readers, here and elsewhere, each breaking at will: every event once, in order."""
    with store_server() as server:

        @settings(max_examples=12, suppress_health_check=list(HealthCheck))
        @given(
            st.lists(st.sampled_from([0, 0, 0, 1, 50]), min_size=1, max_size=40),
            st.lists(st.lists(st.integers(0, 9), max_size=5), min_size=1, max_size=4),
        )
        def check(pauses: list[int], breaks: list[list[int]]) -> None:
            asyncio.run(_check(server, pauses, breaks))

        check()


async def _check(server: StoreServer, pauses: list[int], breaks: list[list[int]]) -> None:
    async with logs_on(server.url) as one, logs_on(server.url) as other:
        stream, producing = await produce(one, pauses)

        async def broken_reader(logs: StreamLogs, parts: list[int]) -> list[bytes]:
            seen: list[bytes] = []
            for part in parts:
                seen += await read(logs, stream, len(seen), part)
            return seen + await read(logs, stream, len(seen))

        readings = await asyncio.gather(
            *(broken_reader((one, other)[n % 2], parts) for n, parts in enumerate(breaks))
        )
        await producing
    expected = [event(number) for number in range(1, len(pauses) + 1)]
    assert all(seen == expected for seen in readings)


async def test_a_producer_that_dies_is_buried_once(server: StoreServer) -> None:
    """Two workers find its heartbeat gone; the log gets one terminal event and one end."""
    async with logs_on(server.url) as logs, logs_on(server.url) as other:
        async with logs_on(server.url) as lost:
            log = await lost.writer.open({"owner": "me"})
            log.add(event(1))
            await written(log)
            for task in lost.writer._tasks:
                task.cancel()
            async with asyncio.timeout(15):
                readings = await asyncio.gather(read(logs, log.id, 0), read(other, log.id, 1))
        assert list(readings) == [[event(1), WORDS], [WORDS]]
        state = await logs.look(log.id, "me")
        assert state is not None
        assert state.end is not None
        assert (state.end.error, state.events) == ("producer_lost", 2)


async def test_whose_it_is_and_how_many_may_read(server: StoreServer) -> None:
    """Others find nothing; one reader too many is refused."""
    async with logs_on(server.url, readers=1) as logs:
        stream, producing = await produce(logs, [0, 0])
        await producing
        assert await logs.look(stream, "you") is None
        assert await logs.read(stream, "you", 0) is None
        assert await logs.stop(stream, "you") is False
        log_and_reader = await logs.read(stream, "me", 0)
        assert log_and_reader is not None
        with pytest.raises(TooManyReaders):
            await logs.read(stream, "me", 0)
        logs.leave(log_and_reader[1])
        assert await logs.stop(stream, "me") is True


async def test_the_end_of_a_log_that_the_store_has_no_more(server: StoreServer) -> None:
    """It is lost, not ended: nobody could read it."""
    async with logs_on(server.url) as logs:
        log = await logs.writer.open({"owner": "me"})
        await logs.store.pipeline([("DEL", key) for key in log.keys], 5.0)
        log.end(End("complete"))
        await asyncio.wait_for(log.ended.wait(), 20)
        assert log.lost == FORGOTTEN


async def test_who_has_died_takes_no_readers_place(server: StoreServer) -> None:
    """A lease that is not renewed ends; one call that is made twice is one reader."""
    async with logs_on(server.url, readers=2) as logs:
        stream, producing = await produce(logs, [0])
        await producing
        keys = keys_of(stream)
        dead = [("ZADD", keys[2], 1, f"dead {n}") for n in range(2)]
        await logs.store.pipeline(dead, 5.0)
        looked = await logs.look(stream, "me")
        assert looked is not None
        assert looked.readers == 0
        for _ in range(2):
            asked: tuple[str | int, ...] = ("me", "the lease", 60_000, 2)
            state, _header, _first, _last, readers = await logs.store.run(LOOK, keys, asked)
            assert (state, readers) == (b"ok", 1)
        assert await logs.store.pipeline([("PTTL", keys[2])], 5.0) > [120_000]
        second = await logs.read(stream, "me", 0)
        assert second is not None
        state, *_ = await logs.store.run(LOOK, keys, asked)
        assert state == b"ok"
        with pytest.raises(TooManyReaders):
            await logs.read(stream, "me", 0)


async def test_a_store_that_forgets_makes_an_ordinary_stream(own_server: StoreServer) -> None:
    """Restarted empty, it gets no log that begins in the middle."""
    async with logs_on(own_server.url) as logs:
        log = await logs.writer.open({"owner": "me"})
        log.add(event(1))
        await written(log)
        await asyncio.to_thread(own_server.kill)
        await asyncio.to_thread(own_server.start)
        async with asyncio.timeout(20):
            while not log.lost:
                log.add(event(2))
                await asyncio.sleep(0.05)
        assert await logs.look(log.id, "me") is None


async def reading_here(logs: StreamLogs, log: ProducedLog) -> asyncio.Task[list[bytes]]:
    """A reader of this worker's own that has caught up."""
    reading = asyncio.create_task(read(logs, log.id, 0))
    async with asyncio.timeout(20):
        while log.written is None:
            await asyncio.sleep(0.01)
    return reading


async def test_an_end_that_the_store_never_hears_of_is_heard_here(own_server: StoreServer) -> None:
    """The stream ends while the store is away, which then comes back empty."""
    async with logs_on(own_server.url) as logs:
        log = await logs.writer.open({"owner": "me"})
        log.add(event(1))
        await written(log)
        reading = await reading_here(logs, log)
        await asyncio.to_thread(own_server.kill)
        log.add(event(2))
        log.end(End("complete", whole=True, events=2))
        async with asyncio.timeout(20):
            while log.unconfirmed_since is None:
                await asyncio.sleep(0.01)
            await asyncio.to_thread(own_server.start)
            await log.ended.wait()
        assert log.lost
        assert await reading == [event(1), event(2)]


async def test_what_waits_when_a_log_is_lost_is_read_here(server: StoreServer) -> None:
    """With what comes after it."""
    async with logs_on(server.url) as logs:
        log = await logs.writer.open({"owner": "me"})
        log.add(event(1))
        await written(log)
        reading = await reading_here(logs, log)
        log.add(event(2))
        logs.writer.lose(log, "full")
        log.add(event(3))
        async with asyncio.timeout(20):
            while log.events != log.position.event:
                await asyncio.sleep(0.01)
        log.end(End("complete", whole=True, events=3))
        assert await reading == [event(1), event(2), event(3)]


@pytest.mark.store
async def test_a_cluster() -> None:
    """Written, read live from elsewhere, and stopped, over several nodes."""
    context = cluster()
    url, _ = await asyncio.to_thread(context.__enter__)
    try:
        async with logs_on(url) as logs, logs_on(url) as other:
            made = [await produce(logs, [10] * 30) for _ in range(5)]
            readings = await asyncio.gather(*(read(other, stream, 0) for stream, _ in made))
            await asyncio.gather(*(task for _, task in made))
        assert readings == [[event(number) for number in range(1, 31)]] * 5
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


@pytest.mark.store
async def test_a_sentinel_set_that_fails_over() -> None:
    """What the new master has goes on, or has an end; further logs are kept there."""
    context = sentinel_set()
    parts = await asyncio.to_thread(context.__enter__)
    try:
        async with logs_on(parts.url) as logs, logs_on(parts.url) as other:
            stream, producing = await produce(logs, [20] * 1000)
            assert await read(other, stream, 0, 5) == [event(number) for number in range(1, 6)]
            await asyncio.to_thread(parts.master.kill)
            async with asyncio.timeout(60):
                while not await can_write(logs):
                    await asyncio.sleep(0.1)
                await producing
            seen = await read(other, stream, 0)
            numbers = [int(text.split()[1]) for text in seen if text != WORDS]
            assert numbers == list(range(1, len(numbers) + 1))
            assert len(numbers) == 1000 or seen[-1] == WORDS
            later, producing = await produce(logs, [1] * 20)
            assert len(await read(other, later, 0)) == 20
            await producing
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


async def can_write(logs: StreamLogs) -> bool:
    """Whether a log can be begun."""
    try:
        logs.writer.drop(await logs.writer.open({"owner": "me"}))
    except StoreUnavailable:
        return False
    return True
