"""Two appliances on one store, and what becomes of streams when a part of them dies."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.demo.peer import FAMILIES, body_for
from tests.fixtures.stores import StoreServer, store_server
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, Upstream
from tests.integration.resume import machines
from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, begun, chat, ended
from tests.integration.resume.machines import machine, metric, ready, watched

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.no_blockbuster, pytest.mark.timeout(120, method="thread")]
ENDLESS = "demo;tokens=99999;rate=20"


class Two(NamedTuple):
    """Two machines that share a store."""

    a: RunningGateway
    b: RunningGateway
    store: StoreServer
    upstream: Upstream


@pytest.fixture(scope="module")
def two(upstream: Upstream) -> Iterator[Two]:
    with (
        store_server() as store,
        machine(upstream, store.url, drain_seconds=1) as a,
        machine(upstream, store.url, drain_seconds=1) as b,
    ):
        yield Two(a, b, store, upstream)


async def test_what_began_on_one_is_resumed_on_the_other(two: Two) -> None:
    """Its client lost the first machine: on the second it gets the rest, each event once."""
    model = "demo;seed=3;tokens=40;rate=40"
    left = await begun(two.a.url, chat(model), 5)
    rest = await ask(f"{two.b.url}/v1/streams/{left.stream}?after={len(left.events)}")
    assert rest.whole
    everything = await ask(f"{two.a.url}/v1/streams/{left.stream}")
    assert b"".join(left.events) + rest.body == everything.body
    assert everything.body.endswith(b"data: [DONE]\n\n")


async def test_stopped_on_the_other(two: Two) -> None:
    """DELETE on B ends A's call to the upstream, and may be repeated."""
    model = f"{ENDLESS};run=stopped"
    left = await begun(two.a.url, chat(model), 2)
    url = f"{two.b.url}/v1/streams/{left.stream}"
    assert (await ask(url, "DELETE")).status == 204
    [call] = await two.upstream.over("stopped")
    assert call["ended_by"] == "left"
    assert (await ask(url, "DELETE")).status == 204
    assert (await ended(two.b.url, left.stream))["error"] == "stopped"


@pytest.mark.parametrize(
    "family",
    [
        pytest.param(family, marks=() if family == "responses" else pytest.mark.resume)
        for family in FAMILIES
    ],
)
async def test_the_producing_worker_is_killed(two: Two, family: str) -> None:
    """Its readers get the family's terminal error soon; what was written stays readable."""
    path, body = body_for(family, "tokens=99999;rate=20")
    async with asked(two.a.url + path, "POST", json.loads(body), **RESUMABLE) as live:
        stream = live.headers["Sluice-Stream-Id"]
        await live.content.readany()
        url = f"{two.b.url}/v1/streams/{stream}"
        async with watched(url, f"{url}?ids=1") as (plain, ids):
            await asyncio.sleep(0.5)
            async with machines.ended_in_time(plain, ids):
                await machines.signal_workers(two.a, signal.SIGKILL)
    assert not plain.whole
    assert ids.whole
    assert b'"producer_lost"' in plain.body.lower()
    assert b"event: done\n" in ids.body
    state = await ended(two.b.url, stream)
    assert (state["ended_by"], state["error"]) == ("failed", "producer_lost")
    again = await ask(url)
    assert (again.status, again.whole, again.body) == (200, False, plain.body)
    assert again.headers["Sluice-Ended-By"] == "failed"
    assert len(again.events) == state["events"] > 3
    assert (await ask(f"{url}?after={state['events']}")).status == 204
    await ready(two.a)
    assert (await ask(f"{two.a.url}/v1/streams/{stream}")).body == plain.body


@pytest.mark.resume
@pytest.mark.parametrize("how", ["worker frozen", "machine killed", "machine frozen"])
async def test_the_producer_is_dead_in_another_way(two: Two, how: str) -> None:
    """Frozen, or with its whole machine: its readers elsewhere hear of it as soon."""
    with machine(two.upstream, two.store.url) as c:
        left = await begun(c.url, chat(ENDLESS), 3)
        url = f"{two.b.url}/v1/streams/{left.stream}"
        workers = [worker["pid"] for worker in (await machines.status(c))["workers"]]
        pids = workers if how == "worker frozen" else machines.everything_of(c)
        number = signal.SIGKILL if how == "machine killed" else signal.SIGSTOP
        try:
            async with (
                watched(url, f"{url}?ids=1") as (plain, ids),
                machines.ended_in_time(plain, ids),
            ):
                for pid in pids:
                    os.kill(pid, number)
        finally:
            if number == signal.SIGSTOP:
                for pid in pids:
                    with suppress(ProcessLookupError):  # The supervisor may have replaced it.
                        os.kill(pid, signal.SIGCONT)
        assert b'"producer_lost"' in plain.body.lower()
        assert (plain.whole, ids.whole) == (False, True)
        state = await ended(two.b.url, left.stream)
        assert (state["ended_by"], state["error"]) == ("failed", "producer_lost")
        assert (await ask(url)).body == plain.body


async def test_a_machine_is_stopped_while_it_produces(two: Two) -> None:
    """What can end within the drain does; the other streams say that they were cut."""
    with machine(two.upstream, two.store.url, drain_seconds=2, resume_ttl_seconds=60) as c:
        detached = {"Prefer": "respond-async"}
        short, long = [
            await ask(c.url + CHAT, "POST", chat(model), **detached)
            for model in ("demo;tokens=30;rate=30", ENDLESS)
        ]
        assert (short.status, long.status) == (202, 202)
        async with watched(f"{two.b.url}{long.headers['Location']}") as [reader]:
            c.process.popen.send_signal(signal.SIGTERM)
        await asyncio.to_thread(c.process.popen.wait, 30)
    assert (await ended(two.b.url, short.stream))["ended_by"] == "complete"
    state = await ended(two.b.url, long.stream)
    assert (state["ended_by"], state["error"]) == ("drained", "gateway_stopped")
    assert not reader.whole
    assert b'"gateway_stopped"' in reader.body


@pytest.mark.resume
@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_the_embedded_store_dies_in_mid_stream(upstream: Upstream, how: str) -> None:
    """Nobody is cut; it is counted and logged; with the next store streams can be resumed again."""
    with machine(upstream, workers=2) as gateway:
        async with asked(
            gateway.url + CHAT, "POST", chat("demo;tokens=300;rate=20"), **RESUMABLE
        ) as live:
            await live.content.readany()
            stream = live.headers["Sluice-Stream-Id"]
            async with watched(f"{gateway.url}/v1/streams/{stream}") as [reader]:
                pid = (await machines.status(gateway))["store"]["pid"]
                number = signal.SIGKILL if how == "killed" else signal.SIGSTOP
                os.kill(pid, number)
                body = await live.content.read()
        assert body.endswith(b"data: [DONE]\n\n")
        assert reader.ended_at
        assert reader.body.endswith(b"data: [DONE]\n\n") or not reader.whole
        assert metric(gateway, "sluice_resumable_streams_lost_total") >= 1
        assert any("log_lost" in line for line in gateway.process.lines)
        if how == "frozen":
            os.kill(pid, signal.SIGCONT)

        async def kept() -> bool:
            made = await ask(gateway.url + CHAT, "POST", chat("demo;tokens=2"), **RESUMABLE)
            assert made.status == 200
            return "Sluice-Stream-Id" in made.headers

        await gateways.eventually(kept, "no stream is kept any more", seconds=30)


@pytest.mark.resume
async def test_the_store_is_full_in_mid_stream(two: Two) -> None:
    """The live client has its whole answer; readers elsewhere get the error event."""
    async with asked(two.a.url + CHAT, "POST", chat("demo;tokens=60;rate=20"), **RESUMABLE) as live:
        await live.content.readany()
        url = f"{two.b.url}/v1/streams/{live.headers['Sluice-Stream-Id']}"
        before = await asyncio.to_thread(metric, two.a, "sluice_resumable_streams_lost_total")
        async with watched(url) as [reader]:
            two.store.command("CONFIG", "SET", "maxmemory", "1")
        body = await live.content.read()
    two.store.command("CONFIG", "SET", "maxmemory", "0")
    assert body.endswith(b"data: [DONE]\n\n")
    assert not reader.whole
    assert b'"log_lost"' in reader.body

    async def counted() -> bool:
        lost = await asyncio.to_thread(metric, two.a, "sluice_resumable_streams_lost_total")
        return lost == before + 1

    await gateways.eventually(counted, "the loss was not counted")
