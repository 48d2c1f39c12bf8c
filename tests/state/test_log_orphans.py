"""Logs that somebody else ends: their producer died, or the store failed it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy.state import log_unconfirmed, log_writer
from tests.state.test_stream_logs import WORDS, event, logs_on, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.state.produced_log import ProducedLog
    from tests.fixtures.stores import StoreServer


async def lost(log: ProducedLog) -> str:
    """Why the log was given up, once it has been."""
    async with asyncio.timeout(20):
        while not log.lost:
            log.add(event(log.events + 1))
            await asyncio.sleep(0.05)
    return log.lost


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not true():
            await asyncio.sleep(0.05)


async def test_a_full_store_ends_the_log_at_once(own_server: StoreServer) -> None:
    """What it had taken can be read, then comes the terminal event; it takes logs again later."""
    async with logs_on(own_server.url) as logs, logs_on(own_server.url) as other:
        log = await logs.writer.open({"owner": "me"})
        log.add(event(1))
        assert await read(other, log.id, 0, 1) == [event(1)]
        reading = asyncio.create_task(read(other, log.id, 0))
        await asyncio.sleep(0.1)
        own_server.command("CONFIG", "SET", "maxmemory", "1")
        assert await lost(log) == "full"
        assert await reading == [event(1), WORDS]
        state = await other.look(log.id, "me")
        assert state is not None
        assert state.end is not None
        assert state.end.error == "log_lost"
        own_server.command("CONFIG", "SET", "maxmemory", "0")
        await until(lambda: logs.store.available)
        await logs.writer.open({"owner": "me"})


async def test_a_full_store_says_who_lives_and_stops_whom_it_must(
    own_server: StoreServer,
) -> None:
    """A stream that is silent meanwhile is not taken for dead, keeps its readers, can be ended."""
    async with logs_on(own_server.url) as logs, logs_on(own_server.url) as other:
        log = await logs.writer.open({"owner": "me"})
        stopped = asyncio.Event()
        log.stopped = stopped.set
        log.add(event(1))
        assert await read(other, log.id, 0, 1) == [event(1)]
        own_server.command("CONFIG", "SET", "maxmemory", "1")
        reading = asyncio.create_task(read(other, log.id, 0, 2))
        beats = log_writer.HEARTBEAT_MILLISECONDS / 1000
        await asyncio.sleep(beats + 1)
        assert not reading.done()
        assert log.last_read_at > asyncio.get_running_loop().time() - beats
        assert await other.stop(log.id, "me")
        async with asyncio.timeout(10):
            await stopped.wait()
        own_server.command("CONFIG", "SET", "maxmemory", "0")
        log.add(event(2))
        assert await reading == [event(1), event(2)]


async def test_a_store_that_was_away_too_long_ends_the_log_when_it_is_back(
    own_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Readers elsewhere get what it had taken and the terminal event, not a stream for ever."""
    monkeypatch.setattr(log_unconfirmed, "MAX_OUTAGE_SECONDS", 0.3)
    async with logs_on(own_server.url) as logs, logs_on(own_server.url) as other:
        log = await logs.writer.open({"owner": "me"})
        log.add(event(1))
        assert await read(other, log.id, 0, 1) == [event(1)]
        own_server.freeze()
        assert await lost(log) == "store away"
        own_server.thaw()
        await until(lambda: other.store.available)
        events = await read(other, log.id, 0)
    # What was on its way when it froze may have arrived.
    assert events == [*map(event, range(1, len(events))), WORDS]


async def test_what_a_dead_worker_had_written_is_not_counted_for_ever(
    own_server: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The account of all logs forgets it when the log itself expires."""
    monkeypatch.setattr(log_writer, "RUNNING_TTL_SECONDS", 2.0)

    def counted() -> int:
        fields = own_server.command("HGET", "sluice:{logs}:bytes", "").splitlines()
        return int(fields[1]) if len(fields) > 1 else 0

    async with logs_on(own_server.url, ttl_seconds=2) as logs:
        async with logs_on(own_server.url, ttl_seconds=2) as lost:
            log = await lost.writer.open({"owner": "me"})
            log.add(b"data: " + b"x" * 5000 + b"\n\n")
            await until(lambda: counted() > 5000)
            for task in lost.writer._tasks:
                task.cancel()
        running = await logs.writer.open({"owner": "me"})
        running.add(event(1))
        await until(lambda: 0 < counted() < 100)
        assert await logs.look(log.id, "me") is None
