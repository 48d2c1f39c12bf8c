"""Two workers that share nothing but a store."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from proxy.errors import Drained
from proxy.state import log_followers, log_reader
from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, begun, chat, ended

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import Demo, StartWorker, Worker


@pytest.fixture
async def two(start_worker: StartWorker, store: StoreServer) -> tuple[Worker, Worker]:
    settings = {"store_url": store.url, "store_timeout_seconds": 5}
    return await start_worker(**settings), await start_worker(**settings)


async def test_begun_on_one_and_resumed_on_the_other(two: tuple[Worker, Worker]) -> None:
    """Live, in order, and each event once."""
    one, other = two
    left = await begun(one.url, chat("demo;tokens=40;rate=40"), 5)
    seen = left.events
    rest = await ask(f"{other.url}/v1/streams/{left.stream}?after={len(seen)}")
    everything = await ask(f"{one.url}/v1/streams/{left.stream}")
    assert (rest.status, rest.whole) == (200, True)
    assert b"".join(seen) + rest.body == everything.body


async def test_many_readers_at_once(two: tuple[Worker, Worker]) -> None:
    """Readers here and there, from the beginning and from within, see the same stream."""
    one, other = two
    made = await ask(one.url + CHAT, "POST", chat("demo;tokens=60;rate=60"), Prefer="respond-async")
    path = f"/v1/streams/{made.stream}"
    afters = [0, 0, 1, 5, 0, 2]
    answers = await asyncio.gather(
        *(ask(f"{(one, other)[n % 2].url}{path}?after={after}") for n, after in enumerate(afters))
    )
    whole = answers[0].events
    for after, answer in zip(afters, answers, strict=True):
        assert answer.whole
        assert answer.events == whole[after:]


async def test_stopped_from_the_other(two: tuple[Worker, Worker], demo: Demo) -> None:
    """DELETE reaches the producer, and the upstream's call ends."""
    one, other = two
    left = await begun(one.url, chat("demo;tokens=99999;rate=50"), 2)
    assert (await ask(f"{other.url}/v1/streams/{left.stream}", "DELETE")).status == 204
    assert (await ended(other.url, left.stream))["error"] == "stopped"
    await demo.state.until(lambda state: state.left == 1)


async def test_the_state_is_seen_from_the_other(two: tuple[Worker, Worker]) -> None:
    """Its stage while it runs, and the whole answer at its end."""
    one, other = two
    left = await begun(one.url, chat("demo;tokens=30;rate=15"), 3)
    url = f"{other.url}/v1/streams/{left.stream}"
    running = {"status": "queued"}
    while running["status"] in {"queued", "connecting", "waiting"}:
        running = json.loads((await ask(url, Accept="application/json")).body)
    assert running["status"] == "generating"
    done = await ended(other.url, left.stream)
    assert done["ended_by"] == "complete"
    message = done["response"]["choices"][0]["message"]
    assert message["role"] == "assistant"
    assert len(message["content"].split()) > 5
    assert done["figures"]["output_tokens"] == 30


async def test_the_producer_dies(two: tuple[Worker, Worker]) -> None:
    """Its readers get the family's terminal error and a break; later ones get the same."""
    one, other = two
    left = await begun(one.url, chat("demo;tokens=99999;rate=40"), 3)
    assert one.state.resumables is not None
    async with asked(f"{other.url}/v1/streams/{left.stream}") as reading:
        await reading.content.readany()
        # As a kill would: it writes no more, and its heartbeat stops.
        for task in one.state.resumables.logs.writer._tasks:
            task.cancel()
        async with asyncio.timeout(15):
            rest = await ask(f"{other.url}/v1/streams/{left.stream}?after=2")
    assert (rest.status, rest.whole) == (200, False)
    assert b'"producer_lost"' in rest.events[-1]
    state = await ended(other.url, left.stream)
    assert (state["ended_by"], state["error"]) == ("failed", "producer_lost")
    over = await ask(f"{other.url}/v1/streams/{left.stream}?after={state['events']}")
    assert over.status == 204
    # The client had seen more than the store.
    ahead = await ask(f"{other.url}/v1/streams/{left.stream}?after={state['events'] + 1}")
    assert b'"producer_lost"' in ahead.events[-1]
    one.state.cut_all(Drained("The test is over."))


async def test_the_store_dies_in_mid_stream(
    start_worker: StartWorker, own_store: StoreServer
) -> None:
    """The client that reads notices nothing."""
    worker = await start_worker(store_url=own_store.url)
    async with asked(
        worker.url + CHAT, "POST", chat("demo;tokens=60;rate=60"), **RESUMABLE
    ) as answer:
        await answer.content.readany()
        await asyncio.to_thread(own_store.kill)
        body = await answer.content.read()
    assert body.endswith(b"data: [DONE]\n\n")
    later = await ask(worker.url + CHAT, "POST", chat(), **RESUMABLE)
    assert later.status == 200
    assert "Sluice-Stream-Id" not in later.headers
    gone = await ask(f"{worker.url}/v1/streams/{answer.headers['Sluice-Stream-Id']}")
    assert gone.status == 503
    await asyncio.to_thread(own_store.start)


async def test_the_store_freezes_in_mid_stream(
    start_worker: StartWorker, own_store: StoreServer
) -> None:
    """What it could not take meanwhile it is given afterwards: nothing is missing."""
    worker = await start_worker(store_url=own_store.url)
    async with asked(
        worker.url + CHAT, "POST", chat("demo;tokens=80;rate=40"), **RESUMABLE
    ) as answer:
        body = await answer.content.readany()
        own_store.freeze()
        await asyncio.sleep(1.0)
        own_store.thaw()
        body += await answer.content.read()
        stream = answer.headers["Sluice-Stream-Id"]
    await _until_there(worker, stream)
    assert (await ask(f"{worker.url}/v1/streams/{stream}")).body == body


async def _until_there(worker: Worker, stream: str) -> None:
    for _ in range(100):
        state = await ask(f"{worker.url}/v1/streams/{stream}", Accept="application/json")
        if state.status == 200 and b'"ended_by"' in state.body:
            return
        await asyncio.sleep(0.1)
    raise AssertionError("the log never ended")


async def test_a_reader_of_a_store_that_stays_frozen(
    start_worker: StartWorker, own_store: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told so by the family's error event and a break, and does not wait for ever."""
    for module in (log_reader, log_followers):
        monkeypatch.setattr(module, "MAX_OUTAGE_SECONDS", 1.0)
    settings = {"store_url": own_store.url}
    one, other = await start_worker(**settings), await start_worker(**settings)
    left = await begun(one.url, chat("demo;tokens=9999;rate=20"), 3)
    url = f"{other.url}/v1/streams/{left.stream}"
    async with asked(url) as reading, asked(f"{url}?ids=1") as browser:
        plain, ids = await reading.content.readany(), await browser.content.readany()
        own_store.freeze()
        with pytest.raises(aiohttp.ClientPayloadError):
            while part := await reading.content.readany():
                plain += part
        ids += await browser.content.read()
    own_store.thaw()
    for body in (plain, ids):
        assert b'"streams_unavailable"' in body
    assert b"event: done\n" in ids
    one.state.cut_all(Drained("The test is over."))


async def test_a_full_store_in_mid_stream(
    start_worker: StartWorker, own_store: StoreServer
) -> None:
    """The first client has its whole answer; the log's readers get the error event, and the end."""
    settings = {"store_url": own_store.url}
    one, other = await start_worker(**settings), await start_worker(**settings)
    async with asked(one.url + CHAT, "POST", chat("demo;tokens=60;rate=40"), **RESUMABLE) as answer:
        await answer.content.readany()
        stream = answer.headers["Sluice-Stream-Id"]
        reading = asyncio.create_task(ask(f"{other.url}/v1/streams/{stream}"))
        await asyncio.sleep(0.3)
        own_store.command("CONFIG", "SET", "maxmemory", "1")
        body = await answer.content.read()
    assert body.endswith(b"data: [DONE]\n\n")
    read = await reading
    assert (read.status, read.whole) == (200, False)
    assert b'"log_lost"' in read.events[-1]
    own_store.command("CONFIG", "SET", "maxmemory", "0")
