"""The `openai` SDK's own resume, with an upstream that knows nothing of it."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from proxy.demo import player
from tests.fixtures.sdks import openai
from tests.integration.resume.asking import RESUMABLE, ask

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import Demo, StartWorker, Worker


@pytest.fixture
async def front(start_front: StartWorker, store: StoreServer) -> Worker:
    return await start_front(store_url=store.url, store_timeout_seconds=5)


def client_of(front: Worker) -> openai.AsyncOpenAI:
    return openai.AsyncOpenAI(
        base_url=f"{front.url}/v1",
        api_key="k",
        max_retries=0,
        default_headers={"Sluice-Resumable": "true"},
    )


async def test_retrieve_from_every_event(front: Worker) -> None:
    """`retrieve(stream=True, starting_after=N)` gives the events after N, whatever N."""
    async with client_of(front) as client:
        stream = await client.responses.create(model="demo;tokens=6", input="Hello", stream=True)
        events: list[Any] = [event async for event in stream]
        response_id = events[0].response.id
        numbers = [event.sequence_number for event in events]
        for after in numbers:
            rest = await client.responses.retrieve(response_id, stream=True, starting_after=after)
            assert [event async for event in rest] == [
                event for event in events if event.sequence_number > after
            ]
        whole = await client.responses.retrieve(response_id)
    assert whole == events[-1].response


async def test_a_stream_that_broke_is_resumed_live(
    front: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The SDK's background example, with `background` left out."""
    resumed = asyncio.Event()
    monkeypatch.setattr(player, "_silence", lambda _seconds: resumed.wait())
    async with client_of(front) as client:
        model = "demo;tokens=30;hang=15;hang-for=0"
        seen: list[Any] = []
        async with await client.responses.create(model=model, input="Hi", stream=True) as stream:
            async for event in stream:
                seen.append(event)
                if len(seen) == 8:
                    break
        response_id = seen[0].response.id
        half = await client.responses.retrieve(response_id)
        assert half.status == "in_progress"
        last = seen[-1].sequence_number
        rest = await client.responses.retrieve(response_id, stream=True, starting_after=last)
        resumed.set()
        seen += [event async for event in rest]
    assert [event.sequence_number for event in seen] == list(range(len(seen)))
    assert seen[-1].type == "response.completed"


async def test_cancel(front: Worker) -> None:
    """`cancel` stops the upstream, and may be repeated."""
    async with client_of(front) as client:
        model = "demo;tokens=9999;rate=30"
        async with await client.responses.create(model=model, input="Hi", stream=True) as stream:
            first: Any = await anext(aiter(stream))
        cancelled = await client.responses.cancel(first.response.id)
        assert cancelled.status == "cancelled"
        again = await client.responses.cancel(first.response.id)
        assert again.status == "cancelled"
        assert (await client.responses.retrieve(first.response.id)).status == "cancelled"


async def test_another_keys_response(front: Worker, demo: Demo) -> None:
    """It is 404 here, and no matter for the upstream, which would give it to any key."""
    body = {"model": "demo;tokens=3", "stream": True, "input": "Hello"}
    alice, bob = {"Authorization": "Bearer alice"}, {"Authorization": "Bearer bob"}
    made = await ask(f"{front.url}/v1/responses", "POST", body, **RESUMABLE, **alice)
    name = json.loads(made.events[0].partition(b"data: ")[2])["response"]["id"]
    url = f"{front.url}/v1/responses/{name}"
    calls = demo.state.seen
    for method, query in (("GET", ""), ("GET", "?stream=true"), ("POST", "/cancel")):
        assert (await ask(url + query, method, **bob)).status == 404
        assert (await ask(url + query, method, **alice)).status == 200
    assert demo.state.seen == calls


async def test_an_id_of_nobody_goes_to_the_upstream(front: Worker) -> None:
    """Sluice has no log of it, so that the upstream says what it knows."""
    async with client_of(front) as client:
        with pytest.raises(openai.NotFoundError):
            await client.responses.retrieve("resp_unknown")
