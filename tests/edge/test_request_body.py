"""A request's body, read whole in bounded memory and time."""

from __future__ import annotations

import asyncio
import gzip
import json

import aiohttp
import pytest

from tests.integration.conftest import Demo, StartWorker, until
from tests.integration.raw import BrokenOff, Line, ask_chat, exchange, request

MIB = 1024 * 1024


@pytest.mark.parametrize("begun", [b"", b"x"], ids=["nothing", "a byte"])
async def test_a_body_that_never_ends(start_front: StartWorker, demo: Demo, begun: bytes) -> None:
    """408 after its time; what it held is free again."""
    front = await start_front(body_timeout_seconds=0.3)
    sent = request("POST", "/v1/files").replace(b"Length: 0", b"Length: 100000")
    async with await Line.open(front.url) as line:
        answer = await line.whole(sent + begun)
    assert answer.status == 408
    assert answer.json()["error"]["code"] == "request_timeout"
    await until(lambda: front.state.body_memory.used == 0, "its memory is still held")
    assert demo.state.seen == 0


async def test_a_drip_buys_no_time(start_front: StartWorker) -> None:
    """Each byte is progress of a kind, and too little of it."""
    front = await start_front(body_timeout_seconds=0.5)
    sent = request("POST", "/v1/files").replace(b"Length: 0", b"Length: 100000")
    async with await Line.open(front.url) as line:

        async def drip() -> None:
            for _ in range(200):
                await line.send(b"x")
                await asyncio.sleep(0.05)

        await line.send(sent)
        dripping = asyncio.create_task(drip())
        assert (await line.head()).status == 408
        dripping.cancel()


async def test_what_came_fast_buys_no_rest_without_end(start_front: StartWorker) -> None:
    """Nearly all of a large body, and then nothing, or a byte now and then: its time is over."""
    front = await start_front(body_timeout_seconds=0.5)
    sent = request("POST", "/v1/files").replace(b"Length: 0", b"Length: 2000001")

    async def drip(line: Line) -> None:
        for _ in range(200):
            await line.send(b"x")
            await asyncio.sleep(0.05)

    for rest in (False, True):
        async with await Line.open(front.url) as line:
            await line.send(sent + bytes(1_900_000))
            dripping = asyncio.create_task(drip(line)) if rest else None
            assert (await line.head()).status == 408
            if dripping is not None:
                dripping.cancel()
    await until(lambda: front.state.body_memory.used == 0, "its memory is still held")


async def test_bodies_beyond_the_budget(start_front: StartWorker, demo: Demo) -> None:
    """Large ones that never end fill their share; another waits and gets 503; questions pass."""
    front = await start_front(body_memory_bytes=8 * MIB, queue_timeout_seconds=0.3)
    head = request("POST", "/v1/files").replace(b"Length: 0", b"Length: 3000000")
    lines = [await Line.open(front.url) for _ in range(2)]
    for line in lines:
        await line.send(head + b"x")
    memory = front.state.body_memory
    await until(lambda: memory.used == 6_000_000, "they have not begun")
    async with await Line.open(front.url) as third:
        answer = await third.whole(head)
    assert answer.status == 503
    assert int(answer.headers["Retry-After"]) >= 1
    assert (await exchange(front.url, ask_chat("tokens=1"))).status == 200
    for line in lines:
        line.leave()
    await until(lambda: memory.used == 0, "their memory is still held")
    assert [call.path for call in demo.state.calls] == ["/v1/chat/completions"]


async def test_what_is_unpacked_counts(start_front: StartWorker) -> None:
    """A thousandfold is not let in by its packed size."""
    front = await start_front(body_memory_bytes=2 * MIB)
    document = {"model": "demo", "messages": [], "stream": True, "x": "x" * (4 * MIB)}
    packed = gzip.compress(json.dumps(document).encode())
    sent = request("POST", "/v1/chat/completions", packed, [("Content-Encoding", "gzip")])
    answer = await exchange(front.url, sent)
    assert answer.status == 413
    assert front.state.body_memory.used == 0


async def test_a_client_that_asks_first_is_not_told_to_send_what_is_refused(
    start_front: StartWorker,
) -> None:
    """`Expect: 100-continue` waits until the request is let in; nginx, in front, answers itself."""
    front = await start_front(client_keys={"shop": "sk-1"})
    if front.nginx_log is not None:
        pytest.skip("nginx tells the client to go on")
    fields = [("Expect", "100-continue"), ("Authorization", "Bearer wrong")]
    head, _, _ = request("POST", "/v1/files", b"xxxx", fields).partition(b"\r\n\r\n")
    async with await Line.open(front.url) as line:
        try:
            assert (await line.ask(head + b"\r\n\r\n")).status == 401
        except BrokenOff:
            pytest.fail("it was not answered")


async def test_many_large_bodies_that_are_compressed(start_front: StartWorker) -> None:
    """Each is uncompressed in its turn: none waits for room that others have who wait as well."""
    front = await start_front(body_memory_bytes=16 * MIB, queue_timeout_seconds=20)
    document = {
        "model": "demo;ttft=0;tokens=1;rate=0",
        "messages": [{"role": "user", "content": "x" * (3 * MIB)}],
    }
    packed = gzip.compress(json.dumps(document).encode())
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with aiohttp.ClientSession(front.url, headers=headers) as client:

        async def status() -> int:
            async with client.post("/v1/chat/completions", data=packed) as answer:
                await answer.read()
                return answer.status

        assert set(await asyncio.gather(*(status() for _ in range(24)))) == {200}
    assert front.state.body_memory.used == 0
