"""From a request to a call."""

from __future__ import annotations

import gzip
import hashlib
import json

import aiohttp
import pytest

from tests.edge.asking import CHAT, ask, chat
from tests.fixtures.nesting import TOO_DEEP
from tests.integration.conftest import StartWorker, Worker


@pytest.mark.parametrize("chunked", [True, False])
async def test_a_body_above_the_limit(start_worker: StartWorker, chunked: bool) -> None:
    """413, whether its length is declared or not."""
    worker = await start_worker(max_body_bytes=2000)

    async def pieces() -> object:
        for _ in range(5):
            yield b"x" * 1000

    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, data=pieces() if chunked else b"x" * 5000) as answer,
    ):
        assert answer.status == 413
        assert (await answer.json())["error"]["code"] == "request_too_large"


async def test_a_body_at_the_limit(start_worker: StartWorker) -> None:
    """It passes whole."""
    worker = await start_worker(max_body_bytes=5000)
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + "/v1/echo", data=b"y" * 5000) as answer,
    ):
        seen = (await answer.json())["body"]
        assert seen == {"bytes": 5000, "sha256": hashlib.sha256(b"y" * 5000).hexdigest()}


async def test_a_compressed_request(worker: Worker) -> None:
    """It is understood like any other."""
    body = gzip.compress(json.dumps(chat()).encode())
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, data=body, headers={"Content-Encoding": "gzip"}) as answer,
    ):
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        assert (await answer.read()).endswith(b"data: [DONE]\n\n")


async def test_a_body_that_is_no_json_never_reaches_the_upstream(worker: Worker) -> None:
    """The client is told at which byte."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, data=b'{"model": oops}') as answer,
    ):
        assert answer.status == 400
        assert "byte 10" in (await answer.json())["error"]["message"]
    assert worker.state.upstreams.connections() == (0, 0)


async def test_usage_is_asked_for_and_kept_from_the_client(worker: Worker) -> None:
    """The answer has no usage chunk, for the client did not ask for one."""
    _, _, body = await ask(worker.url, chat())
    assert b'"choices":[]' not in body
    _, _, body = await ask(worker.url, chat(stream_options={"include_usage": True}))
    assert b'"choices":[]' in body


HOSTILE = {
    "deep": (b"[" * 100_000 + b"]" * 100_000, ""),
    "deep in a member": (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "byte"),
    "deep in n": (b'{"n":' + b"[" * TOO_DEEP + b"]" * TOO_DEEP + b"}", "byte"),
    "model is no text": (b'{"model":"\xff"}', "byte 10"),
    "options are no text": (b'{"stream":true,"stream_options":{"a":"\xff"}}', "byte 38"),
    "a name is no text": (b'{"stream":true,"\xff":1}', "byte 16"),
}


@pytest.mark.parametrize(("body", "where"), HOSTILE.values(), ids=HOSTILE)
async def test_nothing_that_a_client_sends_is_a_defect(
    worker: Worker, body: bytes, where: str
) -> None:
    """It is the client's mistake, told with its place; small and large bodies alike."""
    large = body[:-1] + b',"y":"' + b"y" * 600_000 + b'"}' if body[-1:] == b"}" else body
    async with aiohttp.ClientSession() as http:
        for sent in (body, large):
            async with http.post(worker.url + CHAT, data=sent) as answer:
                assert answer.status == 400
                assert where in (await answer.json())["error"]["message"]
