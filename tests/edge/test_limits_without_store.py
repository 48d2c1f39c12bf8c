"""Keys with limits while their store is away, in every way that it can be: nobody is held up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.edge.asking import CHAT, ask, chat
from tests.edge.test_limiter import AS_KEY, KEY, nothing_left_over
from tests.fixtures.stores import StoreServer, store_server
from tests.fixtures.wire import Wire, wire_to

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.conftest import StartWorker, Worker

DEADLINE = 0.2
BUSY_SECONDS = 3.0
"""How long an answer may take on a busy machine: far less than the store is away for."""
RECOVERY_SECONDS = 15.0
AGAIN = "x-ratelimit-remaining-requests"
"""An answer has it only where the store was asked."""


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as server:
        yield server


Step = Callable[[StoreServer, Wire], object]


def _delay(seconds: float) -> Step:
    def step(_: StoreServer, wire: Wire) -> None:
        wire.delay = seconds

    return step


def _cut(*, cut: bool) -> Step:
    def step(_: StoreServer, wire: Wire) -> None:
        wire.cut = cut

    return step


def _says(*command: str) -> Step:
    return lambda store, _: store.command(*command)


TROUBLES: dict[str, tuple[Step, Step]] = {
    "killed, and back empty": (lambda store, _: store.kill(), lambda store, _: store.start()),
    "frozen": (lambda store, _: store.freeze(), lambda store, _: store.thaw()),
    "slow": (_delay(2 * DEADLINE), _delay(0)),
    "cut off": (_cut(cut=True), _cut(cut=False)),
    "full": (_says("CONFIG", "SET", "maxmemory", "1"), _says("CONFIG", "SET", "maxmemory", "0")),
    "refusing scripts": (
        _says("ACL", "SETUSER", "default", "-@scripting"),
        _says("ACL", "SETUSER", "default", "+@scripting"),
    ),
}


async def timed(worker: Worker) -> tuple[int, dict[str, str]]:
    """Status and headers of one answer, which took no longer than it may."""
    began = time.monotonic()
    status, headers, _ = await ask(worker.url, chat(), **AS_KEY)
    assert time.monotonic() - began < DEADLINE + BUSY_SECONDS
    return status, headers


async def counts_again(worker: Worker) -> None:
    """Without anybody's help, within seconds; and never a 429 on the way there."""
    end = time.monotonic() + RECOVERY_SECONDS
    while True:
        status, headers = await timed(worker)
        assert status in {200, 503}
        if status == 200 and AGAIN in headers:
            return
        assert time.monotonic() < end, "it does not come back"
        await asyncio.sleep(0.05)


@pytest.mark.parametrize("trouble", TROUBLES)
async def test_the_store_is_away(
    start_worker: StartWorker, store: StoreServer, trouble: str
) -> None:
    """`open` lets in, `closed` says 503; streams in flight go on, and it ends by itself."""
    key: Any = {"name": "one", "key": KEY, "requests_per_minute": 10_000, "max_streams": 50}
    begin, end = TROUBLES[trouble]
    async with wire_to(store.path) as wire:
        settings: Any = {"store_url": wire.url, "store_timeout_seconds": DEADLINE, "keys": (key,)}
        lets_in = await start_worker(**settings)
        refuses = await start_worker(**settings, limits_without_store="closed")
        for worker in (lets_in, refuses):
            await counts_again(worker)
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                refuses.url + CHAT, json=chat("demo;tokens=100000;rate=50"), headers=AS_KEY
            ) as running,
        ):
            await running.content.readuntil(b"\n\n")
            await asyncio.to_thread(begin, store, wire)
            for _ in range(5):
                assert (await timed(lets_in))[0] == 200
                assert (await timed(refuses))[0] == 503
                await running.content.readuntil(b"\n\n")
            status = lets_in.state.limiter.status()
            assert status is not None
            assert (status["store"], status["limits_checked"]) == ("away", False)
            await asyncio.to_thread(end, store, wire)
            for worker in (lets_in, refuses):
                await counts_again(worker)
            await running.content.readuntil(b"\n\n")
            running.close()
        for worker in (lets_in, refuses):
            await nothing_left_over(worker)
