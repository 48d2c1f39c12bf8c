"""Usage that Sluice asks for on its own, and an upstream that refuses to be asked."""

from __future__ import annotations

import json

from tests.integration.conftest import StartWorker
from tests.integration.raw import ask_chat, exchange
from tests.upstream.peer import EVENTS, LAST_CHUNK, Peer, chunk, plain, serves

DONE = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
STREAM = EVENTS + chunk(DONE) + LAST_CHUNK
REFUSAL = b'{"error":{"message":"Unknown parameter: stream_options.include_usage"}}'


async def test_the_client_never_sees_the_refusal(start_front: StartWorker) -> None:
    """It gets its stream, and the next request goes out as the client wrote it."""
    async with Peer(serves(plain(REFUSAL, "400 Bad Request"), STREAM)) as peer:
        front = await start_front(upstream_url=peer.url, retries=0)
        for _ in range(2):
            answer = await exchange(front.url, ask_chat())
            assert (answer.status, answer.body) == (200, DONE)
        asked = [b"stream_options" in body for body in peer.bodies]
        assert asked == [True, False, False]
        assert json.loads(peer.bodies[1]) == json.loads(peer.bodies[2])


async def test_a_client_that_asked_itself_gets_it(start_front: StartWorker) -> None:
    """Its own options are its own business."""
    async with Peer(serves(plain(REFUSAL, "400 Bad Request"))) as peer:
        front = await start_front(upstream_url=peer.url, retries=0)
        asked = ask_chat(stream_options={"include_usage": True})
        answer = await exchange(front.url, asked)
        assert (answer.status, answer.body) == (400, REFUSAL)
        assert len(peer.bodies) == 1
