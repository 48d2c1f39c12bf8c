"""Connections on both sides are kept and used again, and never for the wrong answer."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Demo, StartWorker, Worker
from tests.integration.raw import BrokenOff, Line, ask_chat, exchange, request
from tests.upstream.peer import EVENTS, LAST_CHUNK, Peer, chunk, plain, serves

DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = EVENTS + chunk(DONE) + LAST_CHUNK
ASK = ask_chat()
BREAKS = b'data: {"choices":[{"index":0,"delta":{"content":"1"}}]}\n\n'


async def test_a_client_uses_its_connection_again(front: Worker) -> None:
    """Streams and plain answers, one after the other on one line."""
    async with await Line.open(front.url) as line:
        for number in range(6):
            ask = ASK if number % 2 else request("GET", f"/v1/echo?n={number}")
            answer = await line.whole(ask)
            assert answer.status == 200
            assert b"[DONE]" in answer.body or f"n={number}" in answer.json()["target"]


async def test_sequential_requests_use_one_upstream_connection(start_front: StartWorker) -> None:
    """Connecting anew, with TLS, costs three round trips before the first token."""
    async with Peer(serves(plain(b"1"), STREAM, plain(b"2"), STREAM)) as peer:
        front = await start_front(upstream_url=peer.url)
        for _ in range(10):
            assert (await exchange(front.url, ASK)).status == 200
        assert peer.accepted == 1
        assert len(peer.heads) == 10


async def test_pipelined_requests_are_answered_in_order(front: Worker) -> None:
    """RFC 9112, 9.3.2: a client may send its next request before the answer to the last."""
    asked = [request("GET", f"/v1/echo?n={number}") for number in range(3)]
    async with await Line.open(front.url) as line:
        await line.send(asked[0] + ASK + asked[1] + asked[2])
        first = (await line.whole(b"")).json()
        stream = await line.whole(b"")
        second, third = (await line.whole(b"")).json(), (await line.whole(b"")).json()
    assert [call["target"][-1] for call in (first, second, third)] == ["0", "1", "2"]
    assert stream.body.endswith(b"data: [DONE]\n\n")


async def test_pipelining_is_not_leaving(front: Worker, demo: Demo) -> None:
    """A next request that arrives in the middle of a stream does not end it."""
    ask = ask_chat("tokens=5;rate=50")
    async with await Line.open(front.url) as line:
        await line.ask(ask)
        await line.send(request("GET", "/v1/echo?after"))
        assert (await line.body()).endswith(b"data: [DONE]\n\n")
        assert (await line.whole(b"")).json()["target"] == "/v1/echo?after"
    assert demo.state.left == 0


async def test_a_client_that_wants_to_close_is_closed(front: Worker) -> None:
    """After the whole answer, not before."""
    sent = request("GET", "/v1/echo", fields=[("Connection", "close")])
    async with await Line.open(front.url) as line:
        assert (await line.whole(sent)).status == 200
        assert await line.ended()


async def test_an_upstream_connection_that_broke_is_not_used_again(
    start_front: StartWorker,
) -> None:
    """What is left of one answer must never be read as the next."""
    broken = serves(EVENTS + chunk(BREAKS) + b"zz\r\nbroken")
    async with Peer(broken, serves(plain(b"fresh"))) as peer:
        front = await start_front(upstream_url=peer.url)
        with pytest.raises(BrokenOff) as cut:
            await exchange(front.url, ASK)
        assert b"error" in cut.value.body
        peer_before = peer.accepted
        assert (await exchange(front.url, request("GET", "/v1/models"))).status == 200
        assert peer.accepted == peer_before + 1


async def test_bytes_after_an_answers_end_are_not_the_next_answer(front: Worker) -> None:
    """An upstream that says more than it announced loses its connection."""
    for _ in range(3):
        answer = await exchange(front.url, ask_chat("garbage-after"))
        assert answer.status == 200
        assert answer.body.endswith(b"data: [DONE]\n\n")
