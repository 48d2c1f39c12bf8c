"""The limits of keys in the request flow: with a real store, a worker and the demo upstream."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.edge.asking import CHAT, ask, chat
from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import Demo, StartWorker, Worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "sk-limited"
AS_KEY = {"Authorization": f"Bearer {KEY}"}
TOKENS = 3


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as server:
        yield server


async def limited(
    start: StartWorker, store: StoreServer, settings: dict[str, Any] | None = None, **limits: Any
) -> Worker:
    """A worker with one key of these limits."""
    more = {"store_timeout_seconds": 5, "include_usage": True} | (settings or {})
    return await start(keys=({"name": "one", "key": KEY, **limits},), store_url=store.url, **more)


async def figures(worker: Worker) -> Any:
    by_key = await worker.state.limiter.figures(worker.state.settings.all_keys)
    return by_key["one"]


async def nothing_left_over(worker: Worker) -> Any:
    """No reservation and no stream is left; gives what the store says of the key."""
    await until(lambda: worker.state.limiter.reservations.held == 0, "a reservation is held")
    loop = asyncio.get_running_loop()
    end = loop.time() + 5
    while True:
        left = await figures(worker)
        if not left.streams and not left.held_usd:
            return left
        assert loop.time() < end, f"left over: {left}"
        await asyncio.sleep(0.02)


async def test_the_last_request_of_a_minute(start_worker: StartWorker, store: StoreServer) -> None:
    """So many are let in, each told what is left; the next is refused in OpenAI's words."""
    worker = await limited(start_worker, store, requests_per_minute=2)
    left = []
    for _ in range(2):
        status, headers, _ = await ask(worker.url, chat(), **AS_KEY)
        assert status == 200
        left.append(headers["x-ratelimit-remaining-requests"])
        assert headers["x-ratelimit-limit-requests"] == "2"
    assert left == ["1", "0"]
    status, headers, body = await ask(worker.url, chat(), **AS_KEY)
    error = json.loads(body)["error"]
    assert (status, error["type"], error["code"]) == (429, "requests", "rate_limit_exceeded")
    assert 1 <= int(headers["Retry-After"]) <= 30
    assert headers["x-ratelimit-remaining-requests"] == "0"
    await nothing_left_over(worker)


async def test_settled_by_usage(start_worker: StartWorker, store: StoreServer) -> None:
    """What was reserved gives way to what the upstream says was used."""
    worker = await limited(start_worker, store, tokens_per_minute=100_000)
    status, headers, body = await ask(worker.url, chat(stream=False, max_tokens=50_000), **AS_KEY)
    usage = json.loads(body)["usage"]
    assert status == 200
    assert int(headers["x-ratelimit-remaining-tokens"]) <= 50_000
    left = await nothing_left_over(worker)
    assert 0 <= left.tokens_left - (100_000 - usage["total_tokens"]) <= usage["total_tokens"]


async def test_a_key_at_its_streams_waits(start_worker: StartWorker, store: StoreServer) -> None:
    """The second waits for the first to end, and holds no slot meanwhile."""
    worker = await limited(start_worker, store, max_streams=1)
    first = asyncio.create_task(ask(worker.url, chat("demo;tokens=20;rate=40"), **AS_KEY))
    await until(lambda: worker.state.limiter.reservations.held == 1, "the first is not in")
    second = asyncio.create_task(ask(worker.url, chat(), **AS_KEY))
    await until(lambda: worker.state.limiter.stream_queues.waiting == 1, "the second does not wait")
    assert worker.state.admission.taken <= 1
    assert [(await request)[0] for request in (first, second)] == [200, 200]
    await nothing_left_over(worker)


async def test_too_long_a_wait_for_a_stream(start_worker: StartWorker, store: StoreServer) -> None:
    """Who has waited its time in vain gets a 429."""
    worker = await limited(start_worker, store, {"queue_timeout_seconds": 0.3}, max_streams=1)
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, json=chat("demo;tokens=200;rate=20"), headers=AS_KEY) as first,
    ):
        await first.content.readuntil(b"\n\n")
        status, _, body = await ask(worker.url, chat(), **AS_KEY)
    assert (status, json.loads(body)["error"]["code"]) == (429, "rate_limit_exceeded")
    await nothing_left_over(worker)


async def test_a_spent_budget(start_worker: StartWorker, store: StoreServer, tmp_path: Any) -> None:
    """It says `insufficient_quota`, when the period ends, and that trying again is in vain."""
    prices = tmp_path / "prices.toml"
    prices.write_text('"demo*" = { input = 1000000, output = 1000000 }\n')
    settings = {"prices": str(prices)}
    worker = await limited(start_worker, store, settings, budget_usd=1, budget_period="day")
    assert (await ask(worker.url, chat(stream=False), **AS_KEY))[0] == 200
    await nothing_left_over(worker)
    status, headers, body = await ask(worker.url, chat(), **AS_KEY)
    error = json.loads(body)["error"]
    assert (status, error["type"], error["code"]) == (429, *["insufficient_quota"] * 2)
    assert "T00:00:00Z" in error["message"]
    assert headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("path", "more", "expected"),
    [
        (CHAT, {}, {"type": "requests"}),
        ("/v1/messages", {"max_tokens": 5}, {"type": "rate_limit_error"}),
        (
            "/v1beta/models/demo:generateContent",
            {"contents": [{"parts": [{"text": "Hello"}]}]},
            {"status": "RESOURCE_EXHAUSTED", "code": 429},
        ),
    ],
)
async def test_the_refusal_in_each_family(
    start_worker: StartWorker, store: StoreServer, path: str, more: Any, expected: Any
) -> None:
    """An SDK raises its own exception for it; Anthropic's has its own fields, too."""
    worker = await limited(start_worker, store, requests_per_minute=1)
    answers = []
    async with aiohttp.ClientSession() as http:
        for _ in range(2):
            async with http.post(
                worker.url + path, json=chat(stream=False) | more, headers=AS_KEY
            ) as answer:
                answers.append((answer.status, dict(answer.headers), await answer.json()))
    assert [response[0] for response in answers] == [200, 429]
    for _, headers, _ in answers:
        assert headers["x-ratelimit-remaining-requests"] == "0"
        if path == "/v1/messages":
            assert headers["anthropic-ratelimit-requests-limit"] == "1"
            assert headers["anthropic-ratelimit-requests-reset"].endswith("Z")
    assert expected.items() <= answers[1][2]["error"].items()


async def test_what_passes_through_counts_too(
    start_worker: StartWorker, store: StoreServer
) -> None:
    """A list of models is a request like any other."""
    worker = await limited(start_worker, store, requests_per_minute=1)
    async with aiohttp.ClientSession() as http:
        statuses = []
        for _ in range(2):
            async with http.get(worker.url + "/v1/models", headers=AS_KEY) as answer:
                statuses.append(answer.status)
    assert statuses == [200, 429]


async def test_closed_without_a_store(start_worker: StartWorker, store: StoreServer) -> None:
    """503 and never a 429, as long as nobody can tell; then it is counted again by itself."""
    settings = {"limits_without_store": "closed", "store_timeout_seconds": 0.2}
    worker = await limited(start_worker, store, settings, requests_per_minute=1000)
    assert (await ask(worker.url, chat(), **AS_KEY))[0] == 200
    store.kill()
    for _ in range(5):
        status, headers, _ = await ask(worker.url, chat(), **AS_KEY)
        assert (status, "Retry-After" in headers) == (503, True)
    store.start()
    loop = asyncio.get_running_loop()
    end = loop.time() + 10
    while (await ask(worker.url, chat(), **AS_KEY))[0] != 200:
        assert loop.time() < end
        await asyncio.sleep(0.1)


@pytest.mark.parametrize(("policy", "status"), [("open", 200), ("closed", 503)])
async def test_where_no_store_is_named(start_worker: StartWorker, policy: str, status: int) -> None:
    """As where it is away; and the status says which of the two it is."""
    worker = await start_worker(
        keys=({"name": "one", "key": KEY, "requests_per_minute": 1},), limits_without_store=policy
    )
    assert [(await ask(worker.url, chat(), **AS_KEY))[0] for _ in range(2)] == [status] * 2
    counted = worker.state.limiter.status()
    assert counted is not None
    assert (counted["store"], counted["limits_checked"]) == ("none", False)
    assert await worker.state.limiter.figures(worker.state.settings.all_keys) == {}


async def test_a_store_that_is_away_at_the_start(start_worker: StartWorker) -> None:
    """It is waited for, in vain, and said to be away; requests are let in meanwhile."""
    worker = await start_worker(
        keys=({"name": "one", "key": KEY, "requests_per_minute": 1},),
        store_url="redis://127.0.0.1:9",
        store_timeout_seconds=0.1,
    )
    assert (await ask(worker.url, chat(), **AS_KEY))[0] == 200
    status = worker.state.limiter.status()
    assert status is not None
    assert status["store"] == "away"
    assert await worker.state.limiter.figures(worker.state.settings.all_keys) == {}


async def test_a_limit_that_a_reload_brings(start_worker: StartWorker, store: StoreServer) -> None:
    """The store is found then, once, and the limit holds at once."""
    worker = await start_worker(
        keys=({"name": "one", "key": KEY},), store_url=store.url, store_timeout_seconds=5
    )
    limiter, settings = worker.state.limiter, worker.state.settings
    assert (limiter.status(), limiter.store) == (None, None)
    limited_keys = [{"name": "one", "key": KEY, "requests_per_minute": 5}]
    changed = type(settings).model_validate({**settings.model_dump(), "keys": limited_keys})
    for _ in range(2):
        await limiter.apply(changed)
    status = limiter.status()
    assert status is not None
    assert status["store"] == "reached"
    assert (await limiter.figures(changed.all_keys))["one"].requests_left == 5


async def test_a_full_line_for_a_keys_streams(
    start_worker: StartWorker, store: StoreServer
) -> None:
    """Who finds no place in it is refused at once, while the one before waits on."""
    worker = await limited(start_worker, store, {"queue_size": 1}, max_streams=1)
    first = asyncio.create_task(ask(worker.url, chat("demo;tokens=30;rate=30"), **AS_KEY))
    await until(lambda: worker.state.limiter.reservations.held == 1, "the first is not in")
    second = asyncio.create_task(ask(worker.url, chat(), **AS_KEY))
    await until(lambda: worker.state.limiter.stream_queues.waiting == 1, "the second does not wait")
    assert (await ask(worker.url, chat(), **AS_KEY))[0] == 429
    assert [(await request)[0] for request in (first, second)] == [200, 200]
    await nothing_left_over(worker)


async def test_open_without_a_store(
    start_worker: StartWorker, store: StoreServer, demo: Demo
) -> None:
    """Everybody is let in, frozen as it may be, and nobody waits longer than the deadline."""
    worker = await limited(
        start_worker, store, {"store_timeout_seconds": 0.1}, requests_per_minute=1
    )
    store.freeze()
    try:
        statuses = [(await ask(worker.url, chat(), **AS_KEY))[0] for _ in range(6)]
    finally:
        store.thaw()
    assert statuses == [200] * 6
    await until(lambda: worker.state.limiter.reservations.held == 0, "a reservation is held")
    assert demo.state.seen == 6


async def test_no_key_with_a_limit_makes_no_call(
    start_worker: StartWorker, store: StoreServer
) -> None:
    """The store is not even connected to."""
    worker = await limited(start_worker, store)
    assert (await ask(worker.url, chat(), **AS_KEY))[0] == 200
    assert worker.state.limiter.store is None
