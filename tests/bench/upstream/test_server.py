from __future__ import annotations

import asyncio
import json
from typing import Any, Self, cast

import pytest

from bench.load.answers import AnswerReader, Ending
from bench.stamps import StampReader
from bench.upstream.pace import Pace
from bench.upstream.pacer import Pacer
from bench.upstream.server import Conversation, Upstream

DEFAULT = Pace(1000, 5, 0)


@pytest.fixture
async def port() -> Any:
    """A paced upstream on a free port."""
    upstream = Upstream(DEFAULT)
    yield await upstream.listen("127.0.0.1", 0)
    await upstream.close()


def post(body: dict[str, Any] | bytes, path: str = "/v1/chat/completions", more: str = "") -> bytes:
    """A whole request."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{more}Content-Length: {len(data)}\r\n\r\n"
    return head.encode() + data


class Caller:
    """A client with one connection."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def __aenter__(self) -> Self:
        self._reader, self._writer = await asyncio.open_connection("127.0.0.1", self._port)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._writer.close()

    async def ask(self, request: bytes, *, stream: bool) -> tuple[AnswerReader, bytes]:
        """Send a request and read its answer to the end."""
        answer, body = AnswerReader(stream=stream), b""
        self._writer.write(request)
        async with asyncio.timeout(5):
            while answer.ending is Ending.OPEN:
                data = await self._reader.read(65536)
                if not data:
                    answer.close()
                body += answer.feed(data)
        return answer, body


async def test_a_stream(port: int) -> None:
    """Every token comes, each due an interval after the one before, none sent before it is due."""
    async with Caller(port) as caller:
        answer, body = await caller.ask(post({"stream": True, "model": "m"}), stream=True)
    stamps = StampReader().feed(body)
    assert answer.ending is Ending.COMPLETE
    assert [due - stamps[0][1] for _, due in stamps] == [i * 1_000_000 for i in range(5)]
    assert all(sent >= due for sent, due in stamps)


async def test_streams_one_after_the_other(port: int) -> None:
    """The connection is kept."""
    async with Caller(port) as caller:
        for _ in range(3):
            answer, _ = await caller.ask(post({"stream": True}), stream=True)
            assert answer.ending is Ending.COMPLETE


@pytest.mark.parametrize(
    ("path", "more", "model"),
    [
        ("/v1/chat/completions?pace=500-3-0", "", "m"),
        ("/v1/chat/completions", "X-Pace: 500-3-0\r\n", "m"),
        ("/v1/chat/completions", "", "paced-500-3-0"),
    ],
)
async def test_a_request_that_says_its_pace(port: int, path: str, more: str, model: str) -> None:
    """It is followed, whether it stands in the query, a header or the model's name."""
    request = post({"stream": True, "model": model}, path, more)
    async with Caller(port) as caller:
        _, body = await caller.ask(request, stream=True)
    assert len(StampReader().feed(body)) == 3


async def test_a_request_that_does_not_stream(port: int) -> None:
    """The answer is one JSON document, at once."""
    async with Caller(port) as caller:
        answer, body = await caller.ask(post({"model": "m"}), stream=False)
    assert answer.status == 200
    assert json.loads(body)["usage"]["completion_tokens"] == 5


async def test_a_body_that_is_no_json(port: int) -> None:
    """It is answered with 400."""
    async with Caller(port) as caller:
        answer, _ = await caller.ask(post(b"{"), stream=False)
    assert answer.status == 400


async def test_a_router_asks_what_is_there(port: int) -> None:
    """Models and health have an answer, so that no peer thinks the upstream is down."""
    async with Caller(port) as caller:
        answer, body = await caller.ask(b"GET /v1/models HTTP/1.1\r\n\r\n", stream=False)
        assert json.loads(body)["data"][0]["id"] == "bench"
        answer, body = await caller.ask(b"GET /health HTTP/1.1\r\n\r\n", stream=False)
        assert answer.status == 200


def test_a_gateway_that_leaves_in_mid_stream() -> None:
    """The rest of the answer is dropped, and nothing more is asked of the schedule."""
    conversation = Conversation(cast("Pacer", None), DEFAULT, set())
    conversation.connection_lost(None)
    assert conversation.send(b"token") is False
