"""The store when it is well, and in every way that it can be away."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import pytest
from structlog.testing import capture_logs

from proxy.state.backend import backend_for
from proxy.state.error_map import StoreUnavailable
from proxy.state.script import Script
from proxy.state.store import LANES, Observer, Store, key_of
from proxy.store_address import parse
from tests.fixtures.stores import StoreServer
from tests.fixtures.wire import wire_to
from tests.state.conftest import connected

COUNT = Script.of("count", "return redis.call('INCRBY', KEYS[1], ARGV[1])")
BUSY_SECONDS = 3.0
"""How long a call with a short deadline may take on a busy machine: far less than forever."""


async def count(store: Store, name: str, by: int = 1) -> int:
    answer: int = await store.run(COUNT, [key_of(name, "count")], [by])
    return answer


async def goes_away(store: Store, name: str) -> None:
    """Ask until nobody asks any more; each call ends in time."""
    end = time.monotonic() + 20
    while store.available:
        assert time.monotonic() < end
        began = time.monotonic()
        with contextlib.suppress(StoreUnavailable):
            await count(store, name)
        assert time.monotonic() - began < BUSY_SECONDS
        await asyncio.sleep(0.03)
    with pytest.raises(StoreUnavailable):
        await count(store, name)


async def comes_back(store: Store, name: str) -> None:
    """Without anybody's help, within seconds."""
    async with asyncio.timeout(10):
        while not store.available:
            await asyncio.sleep(0.02)
        while True:
            try:
                await count(store, name)
            except StoreUnavailable:
                await asyncio.sleep(0.02)
            else:
                return


async def test_what_the_log_tells_of_a_store(server: StoreServer, name: str) -> None:
    """It is connected at the start, and comes back only if it has been away."""
    async with connected(server.url) as store:
        with capture_logs() as lines:
            store._failed(StoreUnavailable("timeout", hopeless=True))
            await comes_back(store, name)
    assert [line["event"] for line in lines] == ["store_away", "store_back"]
    with capture_logs() as lines:
        async with connected(server.url):
            pass
    assert [line["event"] for line in lines] == ["store_connected"]


async def test_calls_at_once_get_each_its_own_answer(server: StoreServer, name: str) -> None:
    """A thousand calls share a few connections, and none takes another's answer."""
    async with connected(server.url) as store:
        answers = await asyncio.gather(*(count(store, f"{name}{n}", n) for n in range(1000)))
    assert answers == list(range(1000))


async def test_callers_that_leave(server: StoreServer, name: str) -> None:
    """A cancelled call costs nobody else's answer, whether or not it was sent."""
    async with connected(server.url) as store:
        tasks = [asyncio.create_task(count(store, f"{name}{n}", n)) for n in range(300)]
        cancelled = set()
        for turn, task in enumerate(tasks):
            # One that has its answer already cannot be cancelled any more.
            if turn % 3 == 0 and task.cancel():
                cancelled.add(turn)
            if turn % 50 == 0:
                await asyncio.sleep(0)
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    for n, answer in enumerate(answers):
        assert isinstance(answer, asyncio.CancelledError) if n in cancelled else answer == n
    assert cancelled


@pytest.mark.parametrize(
    ("away", "back"),
    [
        (StoreServer.kill, StoreServer.start),
        (StoreServer.freeze, StoreServer.thaw),
        (
            lambda server: server.command("CONFIG", "SET", "maxmemory", "1"),
            lambda server: server.command("CONFIG", "SET", "maxmemory", "0"),
        ),
        (
            lambda server: server.command("ACL", "SETUSER", "default", "-@scripting"),
            lambda server: server.command("ACL", "SETUSER", "default", "+@scripting"),
        ),
        (
            lambda server: server.command("REPLICAOF", "127.0.0.1", "1"),
            lambda server: server.command("REPLICAOF", "NO", "ONE"),
        ),
    ],
    ids=["killed", "frozen", "full", "refusing scripts", "read only"],
)
async def test_the_server_is_away(
    own_server: StoreServer,
    name: str,
    away: Callable[[StoreServer], object],
    back: Callable[[StoreServer], object],
) -> None:
    """Calls end in time, then none is made, and a while after its return all is well."""
    async with connected(own_server.url, seconds=0.2) as store:
        await comes_back(store, name)
        await asyncio.to_thread(away, own_server)
        await goes_away(store, name)
        await asyncio.to_thread(back, own_server)
        await comes_back(store, name)


@pytest.mark.parametrize("how", ["slow", "cut"])
async def test_the_network_is_away(server: StoreServer, name: str, how: str) -> None:
    """Slow answers and none at all are the same; late ones are nobody's."""
    async with wire_to(server.path) as wire, connected(wire.url, seconds=0.2) as store:
        await comes_back(store, name)
        if how == "cut":
            wire.cut = True
        else:
            wire.delay = 0.6
        await goes_away(store, name)
        wire.cut, wire.delay = False, 0.0
        await comes_back(store, name)
        answers = await asyncio.gather(*(count(store, f"{name}-{n}", n) for n in range(50)))
    assert answers == list(range(50))


async def test_a_late_answer_is_nobodys(server: StoreServer, name: str) -> None:
    """The connection of a call that was given up is closed, not used again."""
    async with wire_to(server.path) as wire, connected(wire.url, seconds=0.3) as store:
        await comes_back(store, name)
        wire.delay = 0.6
        with pytest.raises(StoreUnavailable):
            await count(store, f"{name}a", 7)
        wire.delay = 0.0
        seen = set()
        for n in range(20):
            try:
                seen.add(await count(store, f"{name}{n}", 1))
            except StoreUnavailable:
                await asyncio.sleep(0.05)
    assert seen == {1}


async def test_a_server_restarted_empty(own_server: StoreServer, name: str) -> None:
    """The scripts are sent again, by the call itself."""
    async with connected(own_server.url) as store:
        await count(store, name)
        own_server.command("SCRIPT", "FLUSH")
        assert await count(store, name) == 2


async def test_a_store_that_refuses_evalsha(own_server: StoreServer, name: str) -> None:
    """EVAL does the same, and nobody goes without."""
    own_server.command("ACL", "SETUSER", "default", "-evalsha", "-script")
    async with connected(own_server.url) as store:
        assert [await count(store, name) for _ in range(3)] == [1, 2, 3]


async def test_a_script_that_fails_is_no_outage(server: StoreServer, name: str) -> None:
    """One wrong answer is said to its caller; the others go on."""
    wrong = Script.of("wrong", "return redis.call('LPUSH', KEYS[1], 1)")
    async with connected(server.url) as store:
        await count(store, name)
        with pytest.raises(StoreUnavailable, match="error reply"):
            await store.run(wrong, [key_of(name, "count")])
        assert await count(store, name) == 2


async def test_a_store_that_is_not_there_at_the_start(name: str) -> None:
    """Nothing waits for it; it is asked for in the background."""
    address = parse("unix:///nowhere/store.sock")
    async with Store(backend_for(address, LANES), 0.05) as store:
        assert not await store.ready(0.1)
        with pytest.raises(StoreUnavailable):
            await count(store, name)
        assert store.breaker.reason == "unreachable"


async def test_what_metrics_are_told(own_server: StoreServer, name: str) -> None:
    """How long each call took and how it went, and when the store comes and goes."""
    observed: list[object] = []

    class Telling(Observer):
        def call(self, seconds: float, result: str) -> None:
            observed.append((seconds >= 0, result))

        def state(self, *, available: bool) -> None:
            observed.append(available)

    backend = backend_for(parse(own_server.url), LANES)
    async with Store(backend, 5.0, Telling()) as store:
        await store.ready(10)
        await count(store, name)
        await asyncio.to_thread(own_server.kill)
        with pytest.raises(StoreUnavailable):
            await count(store, name)
    assert observed == [True, (True, "ok"), False, (True, "unreachable")]
