"""Keys before the upstreams: who goes first, where to, and who holds whom back."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.edge.asking import ask, chat
from tests.edge.test_limiter import nothing_left_over
from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import Demo, StartWorker, Worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator

DEAD = "http://127.0.0.1:9/v1"
"""The discard port: nobody listens."""
LONG = "demo;tokens=30;rate=30"


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as server:
        yield server


def as_key(name: str) -> dict[str, str]:
    return {"Authorization": f"Bearer sk-{name}"}


def keys(**of: dict[str, Any]) -> Any:
    return tuple({"name": name, "key": f"sk-{name}", **more} for name, more in of.items())


async def in_line(worker: Worker, count: int) -> None:
    """Wait until so many wait for a slot."""
    await until(lambda: worker.state.admission.waiting == count, "it does not wait")


async def test_a_higher_priority_goes_first(start_worker: StartWorker, demo: Demo) -> None:
    """Whoever came before it: the slot that becomes free is its own."""
    worker = await start_worker(keys=keys(low={}, high={"priority": 10}), max_streams=1)
    running = asyncio.create_task(ask(worker.url, chat(LONG), **as_key("low")))
    await until(lambda: worker.state.admission.taken == 1, "it does not run")
    waiting = []
    for turn, (name, model) in enumerate([("low", "demo;tokens=2"), ("high", "demo;tokens=3")], 1):
        waiting.append(asyncio.create_task(ask(worker.url, chat(model), **as_key(name))))
        await in_line(worker, turn)
    answers = await asyncio.gather(running, *waiting)
    assert [status for status, _, _ in answers] == [200] * 3
    events = [call.events for call in demo.state.calls]
    assert events[0] > events[1] > events[2], "the later one, of three tokens, went before"


@pytest.mark.parametrize("name", ["own", "any"])
async def test_an_upstream_of_its_own(start_worker: StartWorker, demo: Demo, name: str) -> None:
    """A key is sent there first; one that names none takes them in their order."""
    upstreams = (
        {"name": "first", "url": DEAD},
        {"name": "second", "url": demo.url + "/v1", "priority": 1},
    )
    worker = await start_worker(
        keys=keys(own={"upstream": "second"}, any={}),
        upstream_url=None,
        upstreams=upstreams,
        retries=0,
    )
    status, _, _ = await ask(worker.url, chat(), **as_key(name))
    assert (status, demo.state.seen) == ((200, 1) if name == "own" else (502, 0))


async def test_a_key_at_its_cap_holds_nobody_back(
    start_worker: StartWorker, store: StoreServer
) -> None:
    """Its own wait in a line of theirs without a slot, then get a 429; others do not notice."""
    worker = await start_worker(
        keys=keys(one={"max_streams": 1}, two={"max_streams": 5}),
        store_url=store.url,
        store_timeout_seconds=5,
        max_streams=2,
        queue_timeout_seconds=1,
    )
    running = asyncio.create_task(ask(worker.url, chat("demo;tokens=90;rate=30"), **as_key("one")))
    await until(lambda: worker.state.admission.taken == 1, "it does not run")
    waiting = [asyncio.create_task(ask(worker.url, chat(), **as_key("one"))) for _ in range(4)]
    await until(lambda: worker.state.limiter.stream_queues.waiting == 4, "they do not wait")
    assert worker.state.admission.taken == 1
    assert (await ask(worker.url, chat(), **as_key("two")))[0] == 200
    assert not any(request.done() for request in waiting)
    for status, headers, body in await asyncio.gather(*waiting):
        assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
        assert 1 <= int(headers["Retry-After"]) <= 4
    assert (await running)[0] == 200
    await nothing_left_over(worker)
