"""The cap of one worker: who is let in, who waits, who is told to come again."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.conftest import StartWorker, Worker, until
from tests.integration.raw import BrokenOff, Line, Whole, ask_chat, exchange, post_json, request
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk, plain

FIRST = b'data: {"choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


class Gated:
    """An upstream that begins each answer and ends it when it is told to."""

    def __init__(self) -> None:
        self.order: list[str] = []
        self._ends = asyncio.Semaphore(0)

    async def __call__(self, connection: Connection) -> None:
        while True:
            head = await connection.request()
            self.order.append(head.partition(b"X-Number: ")[2].partition(b"\r\n")[0].decode())
            if b"/v1/models" in head:
                await self._ends.acquire()
                await connection.say(plain(b"{}"))
                continue
            await connection.say(EVENTS, chunk(FIRST))
            await self._ends.acquire()
            await connection.say(chunk(DONE), LAST_CHUNK)

    def end(self, answers: int = 1) -> None:
        """Let so many answers end."""
        for _ in range(answers):
            self._ends.release()


def numbered(number: int) -> bytes:
    """A request for a stream that can be told from the others."""
    return ask_chat(fields=[("X-Number", str(number))])


def is_refusal(answer: Whole, family: str = "openai") -> bool:
    """Whether it is a 503 that says what to do, in the family's shape."""
    document = answer.json()
    error = document["error"]
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert error["code"] == "overloaded"
    assert "Retry-After" in error["message"]
    assert answer.headers["X-Request-ID"] in error["message"]
    kinds = {"openai": "server_error", "anthropic": "overloaded_error"}
    return bool(error["type"] == kinds[family])


async def test_no_more_than_the_cap_at_once(start_front: StartWorker) -> None:
    """Ten want in, three are let in; each that ends lets one more in, until all have been."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=3)
        asking = [asyncio.create_task(exchange(front.url, numbered(n))) for n in range(10)]
        # The last of them may still be on its way when the first three have been let in.
        await until(lambda: front.state.admission.waiting == 7, "not all of them came")
        for served in range(3, 11):
            await until(_asked(upstream, served), "nobody was let in")
            assert front.state.admission.taken == 3
            assert front.state.admission.waiting == 10 - served
            upstream.end()
        upstream.end(2)
        assert all(response.status == 200 for response in await asyncio.gather(*asking))


async def test_first_come_first_served(start_front: StartWorker) -> None:
    """Nobody overtakes; who leaves the line is passed over."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=1)
        lines = []
        for number in range(6):
            line = await Line.open(front.url)
            await line.send(numbered(number))
            await until(_are_there(front, number + 1), "it is not in line")
            lines.append(line)
        lines.pop(3).leave()
        await until(lambda: front.state.admission.waiting == 4, "it is still in line")
        upstream.end(5)
        for line in lines:
            await line.head()
            assert (await line.body()).endswith(DONE)
            line.leave()
    assert upstream.order == ["0", "1", "2", "4", "5"]


@pytest.mark.parametrize(
    ("path", "family"), [("/v1/chat/completions", "openai"), ("/v1/messages", "anthropic")]
)
async def test_a_wait_that_is_too_long_ends(
    start_front: StartWorker, path: str, family: str
) -> None:
    """With a status that says so, and when to come again; the upstream hears nothing of it."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=1, queue_timeout_seconds=0.2)
        async with await Line.open(front.url) as running:
            await running.ask(numbered(0))
            started = asyncio.get_running_loop().time()
            late = await exchange(front.url, post_json(path, {"model": "m", "stream": True}))
            waited = asyncio.get_running_loop().time() - started
        assert upstream.order == ["0"]
    assert is_refusal(late, family)
    assert 0.19 < waited < 3


async def test_a_full_line_refuses_at_once(start_front: StartWorker) -> None:
    """Waiting for nothing helps nobody."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=2, queue_size=3)
        asking = [asyncio.create_task(exchange(front.url, numbered(n))) for n in range(5)]
        await until(_are_there(front, 5), "they are not all in")
        for _ in range(3):
            assert is_refusal(await exchange(front.url, numbered(9)))
        upstream.end(5)
        assert all(response.status == 200 for response in await asyncio.gather(*asking))
        assert "9" not in upstream.order


async def test_without_a_line_nobody_waits(start_front: StartWorker) -> None:
    """A size of 0 switches it off."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=1, queue_size=0)
        async with await Line.open(front.url) as running:
            await running.ask(numbered(0))
            assert is_refusal(await exchange(front.url, numbered(1)))


async def test_what_is_no_stream_holds_a_slot_as_well(start_front: StartWorker) -> None:
    """Every relayed request is work for the upstream."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=1, queue_size=0)
        listing = asyncio.create_task(exchange(front.url, request("GET", "/v1/models")))
        await until(_asked(upstream, 1), "the upstream was not asked")
        assert is_refusal(await exchange(front.url, request("GET", "/v1/files")))
        upstream.end()
        assert (await listing).status == 200


async def test_the_gateways_own_pages_need_no_slot(start_front: StartWorker) -> None:
    """A full gateway is alive and ready all the same."""
    upstream = Gated()
    async with Peer(upstream) as peer:
        front = await start_front(upstream_url=peer.url, max_streams=1, queue_size=0)
        async with await Line.open(front.url) as running:
            await running.ask(numbered(0))
            for path in ("/healthz", "/readyz"):
                assert (await exchange(front.url, request("GET", path))).status == 200


EXITS: dict[str, dict[str, Any]] = {
    "whole": {},
    "not streamed": {"stream": False},
    "refused": {"words": "refuse"},
    "reset": {"words": "reset"},
    "bad status": {"words": "status=500"},
    "passing status": {"words": "status=503;retry-after=0.01"},
    "redirect": {"words": "redirect"},
    "empty": {"words": "empty"},
    "cut": {"words": "cut=2"},
    "cut by a reset": {"words": "cut-reset=2"},
    "bad chunk": {"words": "bad-chunk=2"},
    "ended early": {"words": "cut-clean=2"},
    "error inside": {"words": "error=2"},
    "overloaded inside": {"words": "overloaded"},
    "silent from the start": {"words": "hang-before"},
    "silent after the head": {"words": "hang-headers"},
    "silent in the middle": {"words": "hang=2"},
    "only pings": {"words": "pings-only"},
    "no json": {"body": b"{no json"},
    "not known there": {"path": "/v1/nowhere"},
    "not known here": {"path": "/nowhere"},
}


@pytest.mark.parametrize("how", EXITS.values(), ids=EXITS)
async def test_a_slot_is_free_again_however_it_ended(
    start_every: StartWorker, how: dict[str, Any]
) -> None:
    """There is one slot, and no line: the next request finds it."""
    front = await start_every(
        max_streams=1,
        queue_size=0,
        retries=1,
        first_token_timeout_seconds=1.0,
        idle_timeout_seconds=1.0,
        eject_after_failures=1000,
    )
    document = {"model": "demo", "stream": how.get("stream", True), "messages": []}
    body = how.get("body", json.dumps(document).encode())
    sent = request(
        "POST", how.get("path", "/v1/chat/completions"), body, [("X-Demo", how.get("words", ""))]
    )
    for _ in range(2):
        try:
            assert b'"overloaded"' not in (await exchange(front.url, sent)).body
        except BrokenOff:
            assert how["words"]
        await until(lambda: front.state.admission.taken == 0, "its slot is still held")
    assert (await exchange(front.url, ask_chat())).status == 200


def _asked(upstream: Gated, times: int) -> Callable[[], bool]:
    """Whether the upstream has been asked so often."""
    return lambda: len(upstream.order) == times


def _are_there(front: Worker, clients: int) -> Callable[[], bool]:
    """Whether so many are served or in line."""
    admission = front.state.admission
    return lambda: admission.taken + admission.waiting == clients
