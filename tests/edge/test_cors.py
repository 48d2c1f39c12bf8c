"""CORS of a worker that runs alone."""

from __future__ import annotations

import aiohttp
import pytest

from tests.edge.asking import CHAT, chat
from tests.integration.conftest import StartWorker

PREFLIGHT = {
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization, content-type",
}


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ("https://a.example, https://b.example", "https://b.example", True),
        ("https://a.example", "https://evil.example", False),
        ("*", "https://any.example", True),
    ],
)
async def test_a_preflight(
    start_worker: StartWorker, origins: str, origin: str, allowed: bool
) -> None:
    """It is answered by the list of origins, before keys are looked at."""
    worker = await start_worker(cors_origins=origins, client_keys={"web": "sk-1"})
    async with (
        aiohttp.ClientSession() as http,
        http.options(worker.url + CHAT, headers={"Origin": origin} | PREFLIGHT) as answer,
    ):
        given = answer.headers.getall("Access-Control-Allow-Origin", [])
        assert given == ([origin] if allowed else [])
        assert (answer.status == 200) is allowed
        assert answer.headers["Vary"] == "Origin"


@pytest.mark.parametrize("body", [chat(), chat(stream=False), {"model": 1}, [], chat("demo;429")])
async def test_every_answer_can_be_read(start_worker: StartWorker, body: object) -> None:
    """Streams, plain answers and errors have one Access-Control-Allow-Origin and what to expose."""
    worker = await start_worker(cors_origins="*", retries=0)
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, json=body, headers={"Origin": "https://a.example"}) as answer,
    ):
        given = answer.headers.getall("Access-Control-Allow-Origin")
        assert given == ["https://a.example"]
        exposed = answer.headers["Access-Control-Expose-Headers"]
        assert "X-Request-ID" in exposed
        assert "Retry-After" in exposed


async def test_an_options_that_is_no_preflight(start_worker: StartWorker) -> None:
    """It is a request like any other and goes to the upstream."""
    worker = await start_worker(cors_origins="*")
    async with aiohttp.ClientSession() as http, http.options(worker.url + "/v1/echo") as answer:
        assert (await answer.json())["method"] == "OPTIONS"


async def test_without_origins_there_is_no_cors(start_worker: StartWorker) -> None:
    """Nothing is added where nothing was configured."""
    worker = await start_worker()
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, json=chat(), headers={"Origin": "https://a.b"}) as answer,
    ):
        assert "Access-Control-Allow-Origin" not in answer.headers
