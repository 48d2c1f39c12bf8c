"""What answers of other routes than chats cost a limited key: the usage that they state."""

from __future__ import annotations

import json
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from aiohttp import web

from tests.edge.test_limiter import AS_KEY, limited, nothing_left_over
from tests.fixtures.stores import StoreServer, store_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.conftest import StartWorker

TOKENS = 1_000_000
LIMITS: Any = {"tokens_per_minute": TOKENS, "budget_usd": 10, "requests_per_minute": 10}
USED = 40_000
"""Far more than what is refilled while a test runs."""


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as server:
        yield server


@asynccontextmanager
async def answering(document: Any) -> AsyncIterator[str]:
    """An upstream that answers everything so, compressed for whoever takes that."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        response = web.json_response(document)
        response.enable_compression()
        return response

    app = web.Application(client_max_size=10_000_000)
    app.router.add_route("*", "/{rest:.*}", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{site.port}/v1"
    await runner.cleanup()


VECTORS = [
    {"object": "embedding", "index": index, "embedding": [0.25] * 2000} for index in range(200)
]
SAID: list[tuple[str, Any, int]] = [
    (
        "/v1/embeddings",
        {"data": VECTORS, "usage": {"prompt_tokens": USED, "total_tokens": USED}},
        USED,
    ),
    ("/v1/embeddings", {"usage": {"total_tokens": USED}, "data": []}, USED),
    ("/v1/embeddings", {"id": "x", "meta": {"billed_units": {"input_tokens": USED}}}, USED),
    ("/v1beta/models/m:embedContent", {"usageMetadata": {"promptTokenCount": USED}}, USED),
    ("/v1/rerank", {"results": [], "usage": {"total_tokens": USED}}, USED),
    ("/v1/rerank", {"meta": {"billed_units": {"search_units": 1}}}, 0),
    ("/v1/images/generations", {"usage": {"input_tokens": 5, "output_tokens": USED - 5}}, USED),
    ("/v1/audio/transcriptions", {"text": "Hi", "usage": {"type": "duration", "seconds": 9}}, 0),
    ("/v1/completions", {"usage": {"prompt_tokens": 1, "completion_tokens": USED - 1}}, USED),
    ("/v1/files", {"id": "file-1", "usage": {"total_tokens": USED}}, 0),
    ("/v1/messages/count_tokens", {"input_tokens": USED, "usage": {"total_tokens": USED}}, 0),
    ("/v1/responses/resp_1/cancel", {"usage": {"input_tokens": 1, "output_tokens": USED}}, 0),
]


@pytest.mark.parametrize(("path", "document", "used"), SAID)
async def test_the_usage_that_an_answer_states(
    start_worker: StartWorker,
    store: StoreServer,
    tmp_path: Any,
    path: str,
    document: dict[str, Any],
    used: int,
) -> None:
    """It is charged, as tokens and as money by the model that the answer names; and one request."""
    prices = tmp_path / "prices.toml"
    prices.write_text('"made-up*" = { input = 10, output = 10 }\n')
    async with answering({"model": "made-up-1", **document}) as url:
        settings = {"upstream_url": url, "prices": str(prices)}
        worker = await limited(start_worker, store, settings, **LIMITS)
        async with (
            aiohttp.ClientSession() as http,
            http.post(
                worker.url + path, json={"model": "any", "input": "x"}, headers=AS_KEY
            ) as answer,
        ):
            assert (answer.status, json.loads(await answer.read())["model"]) == (200, "made-up-1")
        left = await nothing_left_over(worker)
    assert left.requests_left == 9
    # A minute's tokens come back at 16,667 a second.
    charged = TOKENS - left.tokens_left
    assert charged <= used
    assert left.spent_usd == pytest.approx(used * 10 / 1_000_000)


async def test_a_key_that_counts_no_tokens(start_worker: StartWorker, store: StoreServer) -> None:
    """Its answers come as they are, compressed too, and none is looked into."""
    async with answering({"usage": {"total_tokens": USED}}) as url:
        worker = await limited(start_worker, store, {"upstream_url": url}, requests_per_minute=10)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as http,
            http.post(worker.url + "/v1/embeddings", json={}, headers=AS_KEY) as answer,
        ):
            assert answer.headers["Content-Encoding"] == "deflate"
        assert (await nothing_left_over(worker)).requests_left == 9


async def test_an_upload(start_worker: StartWorker, store: StoreServer) -> None:
    """It counts as a request."""
    worker = await limited(start_worker, store, requests_per_minute=10)
    form = aiohttp.FormData({"purpose": "batch"})
    form.add_field("file", b"{}\n" * 50_000, filename="one.jsonl")
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + "/v1/files", data=form, headers=AS_KEY) as answer,
    ):
        assert answer.status == 200
    assert (await nothing_left_over(worker)).requests_left == 9
