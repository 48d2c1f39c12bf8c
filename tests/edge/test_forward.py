"""The flow of a request: what is freed, and what outlives a client."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Iterator
from typing import Any

import aiohttp
import pytest

from tests.edge.asking import CHAT, ask, ask_in_vain, chat
from tests.integration.conftest import Demo, StartWorker, Worker, until
from tests.integration.raw import Line, ask_chat
from tests.upstream.peer import EVENTS, Connection, Peer, chunk

MARK, LARGE = b"a body of its own, ", 10_000


@pytest.mark.parametrize("policy", ["cancel", "drain", "grace"])
async def test_a_client_that_leaves(start_worker: StartWorker, demo: Demo, policy: str) -> None:
    """Cancel ends the upstream's work, drain lets it finish, grace ends it a little later."""
    worker = await start_worker(on_client_left=policy, grace_seconds=0.1)
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, json=chat("demo;tokens=30;rate=60")) as answer,
    ):
        await answer.content.readuntil(b"\n\n")
        answer.close()
    await demo.state.until(lambda state: not state.open)
    assert demo.state.calls[-1].ended_by == ("finished" if policy == "drain" else "left")


async def test_a_client_that_leaves_the_line(start_worker: StartWorker, demo: Demo) -> None:
    """Who was never served costs no upstream call, whatever the policy."""
    worker = await start_worker(max_streams=1, workers=1, on_client_left="drain")
    async with aiohttp.ClientSession() as http:
        holding = asyncio.create_task(ask(worker.url, chat("demo;tokens=20;rate=100")))
        await until(lambda: worker.state.admission.taken == 1, "the first has no slot")
        waiting = asyncio.create_task(http.post(worker.url + CHAT, json=chat()))
        await until(lambda: worker.state.admission.waiting == 1, "the second does not wait")
        waiting.cancel()
        await until(lambda: worker.state.admission.waiting == 0, "it still waits")
        await holding
    assert demo.state.seen == 1


@pytest.fixture
def frozen_heap() -> Iterator[None]:
    """What was there before the test is not looked through: it is half a gigabyte."""
    gc.freeze()
    yield
    gc.unfreeze()


def large_bodies() -> int:
    """How many byte strings that anything made since then holds are the marked body."""
    gc.collect()  # of what is not frozen: what this test has made
    return sum(
        isinstance(held, bytes | bytearray) and len(held) > LARGE and MARK in held
        for holder in gc.get_objects()
        for held in gc.get_referents(holder)
    )


async def test_a_running_stream_does_not_keep_its_request(
    frozen_heap: None, start_worker: StartWorker
) -> None:
    """Until an answer begins a body may have to be sent again; from then on nobody holds it."""
    asked, answer = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        connection.body = b""
        asked.set()
        await answer.wait()
        await connection.say(EVENTS, chunk(b"data: 1\n\n"))
        await connection.left()

    async with Peer(script) as peer:
        worker = await start_worker(upstream_url=peer.url)
        async with await Line.open(worker.url) as line:
            await line.send(ask_chat(user=MARK.decode() * 2 * LARGE))
            await asked.wait()
            peer.bodies.clear()
            assert large_bodies() > 0
            answer.set()
            await line.head()
            await line.part()
            assert large_bodies() == 0


async def test_every_visit_is_accounted_for(
    worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Good, bad and refused requests are all recorded, once each."""
    recorded: list[Any] = []
    monkeypatch.setattr(worker.state.telemetry, "_record", recorded.append)
    await ask(worker.url, chat())
    await ask(worker.url, [])
    await ask_in_vain(worker.url, chat("demo;cut=1"))
    await until(lambda: len(recorded) == 3, "not all are recorded")
    assert [str(v.record.ended_by) for v in recorded] == ["complete", "rejected", "upstream_cut"]


async def test_a_task_that_has_ended_is_not_kept_for_its_grace(
    start_worker: StartWorker, demo: Demo
) -> None:
    """Nobody waits for it any more: what it held is free at once, not a grace time later."""
    worker = await start_worker(on_client_left="grace", grace_seconds=3600)
    async with aiohttp.ClientSession() as http:
        asking = http.post(worker.url + CHAT, json=chat("demo;tokens=20;rate=50"))
        async with asking as answer:
            await answer.content.readuntil(b"\n\n")
            [serving] = worker.state.outliving
            answer.close()
    await until(serving.done, "it does not end")
    kept = weakref.ref(serving)
    del serving
    await until(lambda: not worker.state.outliving, "it is still held")
    gc.collect()
    assert kept() is None
