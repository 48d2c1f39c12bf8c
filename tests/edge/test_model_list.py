"""A key sees its own models only."""

from __future__ import annotations

from typing import Any

import aiohttp
import pytest

from tests.integration.conftest import StartWorker
from tests.upstream.peer import Peer, plain, serves

KEY = {"x-api-key": "sk-a"}


@pytest.mark.parametrize(
    ("path", "more", "member", "name"),
    [
        ("/v1/models", {}, "data", "id"),
        ("/v1/models", {"anthropic-version": "2023-06-01"}, "data", "id"),
        ("/v1beta/models?pageSize=50", {}, "models", "name"),
    ],
)
async def test_the_list(
    start_worker: StartWorker, path: str, more: Any, member: str, name: str
) -> None:
    """In each family's shape; a key without rights of its own sees what the upstream has."""
    keys = ({"name": "a", "key": "sk-a", "models": ["demo"]}, {"name": "b", "key": "sk-b"})
    worker = await start_worker(keys=keys)
    async with aiohttp.ClientSession() as http:
        documents = []
        for key in ("sk-a", "sk-b"):
            headers = {"x-api-key": key, **more}
            async with http.get(worker.url + path, headers=headers) as answer:
                assert answer.status == 200
                documents.append(await answer.json())
    names = [entry[name].removeprefix("models/") for entry in documents[0][member]]
    assert names == ["demo"]
    assert len(documents[1][member]) > 1
    if "first_id" in documents[0]:
        assert documents[0]["first_id"] == documents[0]["last_id"] == "demo"


@pytest.mark.parametrize(
    ("answer", "status", "text"),
    [
        (plain(b"no list"), 502, b"is not JSON"),
        (plain(b"[]"), 502, b"unknown format"),
        (plain(b'{"data": {}}'), 502, b"unknown format"),
        (plain(b'{"data": [' + b'{"id": "a"},' * 800_000 + b"{}]}"), 502, b"exceeds"),
        (plain(b'{"data": [3, {"id": "demo"}]}'), 200, b'{"data": [{"id": "demo"}]}'),
        (plain(b"", "200 OK"), 200, b""),
        (plain(b'{"error": 1}', "401 No"), 401, b'{"error": 1}'),
    ],
    ids=["no JSON", "an array", "no list in it", "too long", "odd entries", "empty", "an error"],
)
async def test_what_an_upstream_may_say(
    start_worker: StartWorker, answer: bytes, status: int, text: bytes
) -> None:
    """What cannot be looked through is not shown; an error goes on as it is."""
    async with Peer(serves(answer)) as peer:
        worker = await start_worker(
            upstream_url=peer.url,
            retries=0,
            keys=({"name": "a", "key": "sk-a", "models": ["demo"]},),
        )
        async with (
            aiohttp.ClientSession() as http,
            http.get(worker.url + "/v1/models", headers=KEY) as response,
        ):
            body = await response.read()
    assert response.status == status
    assert text in body


async def test_one_of_them(start_worker: StartWorker) -> None:
    """Its own can be looked at."""
    worker = await start_worker(keys=({"name": "a", "key": "sk-a", "models": ["demo"]},))
    async with (
        aiohttp.ClientSession() as http,
        http.get(worker.url + "/v1/models/demo", headers=KEY) as answer,
    ):
        assert answer.status == 200


async def test_a_list_counts_among_the_bytes_that_are_held(start_worker: StartWorker) -> None:
    """Where there is no room for it, 503 with a time to come again; then none of it is held."""
    keys = ({"name": "a", "key": "sk-a", "models": ["demo"]},)
    worker = await start_worker(keys=keys)
    memory = worker.state.body_memory
    async with aiohttp.ClientSession() as http:
        with memory.copied(memory.budget):
            async with http.get(worker.url + "/v1/models", headers=KEY) as answer:
                assert answer.status == 503
                assert answer.headers["Retry-After"]
        async with http.get(worker.url + "/v1/models", headers=KEY) as answer:
            assert answer.status == 200
    assert memory.used == 0
