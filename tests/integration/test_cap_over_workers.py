"""The cap of the whole appliance: the workers' shares add up to it, and to no more."""

from __future__ import annotations

import asyncio
import itertools
import json
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.integration.conftest import SETTLE_SECONDS
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway
from tests.integration.raw import Line, ask_chat, exchange, request
from tests.integration.test_cap import DONE, FIRST, is_refusal
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk, plain

WORKERS = 3


class Counting:
    """An upstream that knows how many calls it had at once, and holds them until there are enough.

    Once so many ran at the same time, or it is told to, each goes on for a moment and ends.
    """

    def __init__(self, enough: int) -> None:
        self.now = 0
        self.peak = 0
        self.all = 0
        self.go_on = asyncio.Event()
        self._enough = enough

    async def __call__(self, connection: Connection) -> None:
        while True:
            head = await connection.request()
            self.now += 1
            self.all += 1
            self.peak = max(self.peak, self.now)
            if self.now == self._enough:
                self.go_on.set()
            await self._answer(connection, head)

    async def _answer(self, connection: Connection, head: bytes) -> None:
        if head.startswith(b"GET"):
            await self.go_on.wait()
            # Before the last byte: after it the gateway may have sent the next request already.
            self.now -= 1
            await connection.say(plain(b"{}"))
            return
        await connection.say(EVENTS, chunk(FIRST))
        await self.go_on.wait()
        await asyncio.sleep(0.01)
        self.now -= 1
        await connection.say(chunk(FIRST), chunk(DONE), LAST_CHUNK)


@contextmanager
def appliance(upstream: str, **settings: Any) -> Iterator[RunningGateway]:
    """The appliance, before an upstream that runs inside the test."""
    there = gateways.Upstream(gateways.Process(None, upstream))  # type: ignore[arg-type]
    with gateways.appliance(there, workers=WORKERS, drain_seconds=0, **settings) as gateway:
        yield gateway


async def test_never_more_than_the_cap_over_all_workers() -> None:
    """Sixty at once, streams and others: seven are with the upstream, never eight."""
    cap = 7
    upstream = Counting(enough=cap)
    async with Peer(upstream) as peer:
        with appliance(peer.url, max_streams=cap, queue_size=90) as sluice:
            for _ in range(2):
                upstream.peak = 0
                upstream.go_on.clear()
                ends = await asyncio.gather(*(one_of_many(sluice.url, n) for n in range(60)))
                assert set(ends) == {"json", "stream"}
                assert upstream.peak == cap
                await nothing_runs(sluice)
    assert upstream.now == 0


async def one_of_many(url: str, number: int) -> str:
    """A client that asks for a list, or reads a stream to its end."""
    if number % 4 == 0:
        answer = await exchange(url, request("GET", "/v1/models"))
        assert answer.status == 200
        return "json"
    async with await Line.open(url) as line:
        await line.send(ask_chat())
        assert (await line.head()).status == 200
        assert (await line.body()).endswith(DONE)
        return "stream"


async def test_the_line_over_all_workers() -> None:
    """With a slot and a place in line for each worker, six of twelve are in and six are refused."""
    upstream = Counting(enough=100)
    async with Peer(upstream) as peer:
        with appliance(peer.url, max_streams=WORKERS, queue_size=WORKERS) as sluice:
            asking = [asyncio.create_task(exchange(sluice.url, ask_chat())) for _ in range(12)]
            for done in itertools.islice(asyncio.as_completed(asking), 6):
                assert is_refusal(await done)
            status = await asyncio.to_thread(status_of, sluice)
            assert (status["streams"], status["waiting"]) == (WORKERS, WORKERS)
            assert upstream.now == WORKERS
            upstream.go_on.set()
            answers = await asyncio.gather(*asking)
            assert sorted(answer.status for answer in answers) == [200] * 6 + [503] * 6
            assert upstream.peak == WORKERS
            assert upstream.all == 6


def status_of(sluice: RunningGateway) -> dict[str, Any]:
    """What the admin port says of it."""
    with urllib.request.urlopen(f"{sluice.admin_url}/status", timeout=5) as answer:
        status: dict[str, Any] = json.load(answer)
    return status


async def nothing_runs(sluice: RunningGateway) -> None:
    """Wait until no worker holds a slot."""
    async with asyncio.timeout(SETTLE_SECONDS):
        while (status := await asyncio.to_thread(status_of, sluice))["streams"]:
            assert status["waiting"] >= 0
            await asyncio.sleep(0.01)
