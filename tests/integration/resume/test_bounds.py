"""How much is kept, who may read, and which upstream is asked."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, begun, chat, ended

if TYPE_CHECKING:
    from proxy.edge.request_context import RequestContext
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import Demo, StartWorker


async def test_a_long_stream_loses_its_beginning(
    start_worker: StartWorker, own_store: StoreServer
) -> None:
    """410 names the first event that is kept, and from there on all is there."""
    worker = await start_worker(
        store_url=own_store.url, resume_stream_bytes=20_000, store_timeout_seconds=5
    )
    made = await ask(worker.url + CHAT, "POST", chat("demo;tokens=400;rate=400"), **RESUMABLE)
    await ended(worker.url, made.stream)
    url = f"{worker.url}/v1/streams/{made.stream}"
    gone = await ask(f"{url}?after=0")
    assert gone.status == 410
    first = json.loads(gone.body)["first_event"]
    assert 1 < first <= len(made.events)
    rest = await ask(f"{url}?after={first - 1}")
    assert rest.events == made.events[first - 1 :]
    assert len(rest.body) <= 25_000
    assert (await ask(f"{url}?after={first - 2}")).status == 410


async def test_the_oldest_make_room(start_worker: StartWorker, own_store: StoreServer) -> None:
    """All logs together stay within the bound; the latest is whole, the first is not."""
    worker = await start_worker(
        store_url=own_store.url, resume_total_bytes=20_000, store_timeout_seconds=5
    )
    made = []
    for _ in range(6):
        made.append(await ask(worker.url + CHAT, "POST", chat(), **RESUMABLE))
        await ended(worker.url, made[-1].stream)
        await asyncio.sleep(0.5)
    oldest = await ask(f"{worker.url}/v1/streams/{made[0].stream}")
    assert oldest.status == 410
    latest = await ask(f"{worker.url}/v1/streams/{made[-1].stream}")
    assert latest.body == made[-1].body


async def test_readers_have_bounds_of_their_own(
    start_worker: StartWorker, own_store: StoreServer
) -> None:
    """One more than may read is told when to come back, and a place that is free is found."""
    worker = await start_worker(
        store_url=own_store.url, resume_readers_per_stream=1, store_timeout_seconds=5
    )
    left = await begun(worker.url, chat("demo;tokens=200;rate=40"), 2)
    url = f"{worker.url}/v1/streams/{left.stream}"
    async with asked(url) as reading:
        await reading.content.readany()
        over = await ask(url)
        assert over.status == 503
        assert over.headers["Retry-After"]
    for _ in range(100):
        async with asked(url) as again:
            if again.status == 200:
                break
        await asyncio.sleep(0.05)
    else:
        pytest.fail("the place never became free")
    assert (await ask(url, "DELETE")).status == 204


async def test_a_response_goes_to_the_upstream_that_made_it(
    start_worker: StartWorker,
    own_store: StoreServer,
    demo: Demo,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whichever of several made it is asked for what goes on from it."""
    worker = await start_worker(
        store_url=own_store.url,
        store_timeout_seconds=5,
        upstream_url=None,
        upstreams=[{"name": name, "url": f"{demo.url}/v1"} for name in ("a", "b", "c")],
    )
    asked_upstreams: list[str] = []
    finish = worker.state.telemetry.finish

    def finished(context: RequestContext) -> None:
        asked_upstreams.append(context.record.upstream)
        finish(context)

    monkeypatch.setattr(worker.state.telemetry, "finish", finished)
    async with aiohttp.ClientSession() as http:

        async def create(**more: str) -> tuple[str, str]:
            body = {"model": "demo;tokens=2", "input": "Hi"} | more
            async with http.post(f"{worker.url}/v1/responses", json=body) as answer:
                response = await answer.json()
            return response["id"], asked_upstreams[-1]

        for _ in range(4):
            made, upstream = await create()
            await asyncio.sleep(0.1)
            for _ in range(3):
                assert (await create(previous_response_id=made))[1] == upstream
