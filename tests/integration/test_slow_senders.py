"""Clients that send slowly, stop in the middle, or close one half: nobody else pays for them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from tests.integration.conftest import Demo, StartWorker, Worker, until
from tests.integration.raw import BrokenOff, Line, ask_chat, exchange, request

ASKED = request("POST", "/v1/echo", b"x" * 64)
HEAD, BODY = ASKED[: -64 - 2], ASKED[-64:]
"""The head lacks the line feed and the return that end it."""


@pytest.fixture
async def front(start_front: StartWorker) -> Worker:
    """What clients meet; it waits a second for a head and for a body."""
    return await start_front(header_timeout_seconds=1, body_timeout_seconds=1)


async def trickle(line: Line, data: bytes) -> None:
    """Send it byte by byte, until the other side has enough of it."""
    # uvloop says of a closed connection that its handler is.
    with contextlib.suppress(ConnectionError, RuntimeError):
        for byte in data:
            await line.send(bytes((byte,)))
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def trickling(url: str, data: bytes) -> AsyncIterator[Line]:
    """A connection on which it comes byte by byte."""
    async with await Line.open(url) as line:
        sending = asyncio.create_task(trickle(line, data))
        yield line
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def test_a_slow_request_that_comes_in_time_is_served(start_front: StartWorker) -> None:
    """Byte by byte, its head and its body: a narrow line is no attack."""
    front = await start_front()
    async with trickling(front.url, ASKED) as line:
        head = await line.head()
        assert head.status == 200
        assert json.loads(await line.body())["body"]["bytes"] == len(BODY)


@pytest.mark.parametrize(
    "sent", [b"", HEAD[:1], HEAD, b"GET / HTTP/1.1\r\n" + b"X-Slow: 1\r\n" * 2000], ids=len
)
async def test_a_head_that_does_not_end_ends_the_connection(
    front: Worker, demo: Demo, sent: bytes
) -> None:
    """However it comes: silent, stopped, or one more byte all the time."""
    async with trickling(front.url, sent) as line:
        with contextlib.suppress(BrokenOff):
            assert (await line.head()).status in {400, 408}
            await line.body()
        assert await line.ended()
    assert not demo.state.calls
    assert (await exchange(front.url, ASKED)).status == 200


@pytest.mark.parametrize("rest", [b"", b"y" * 1000], ids=["stopped", "byte by byte"])
async def test_a_body_that_does_not_end_is_408(front: Worker, demo: Demo, rest: bytes) -> None:
    """Said in the family's shape; no upstream is asked, and no slot is held meanwhile."""
    sent = request("POST", "/v1/messages", b"y" * 1_000_000)[:-1_000_000]
    async with await Line.open(front.url) as line:
        await line.send(sent)
        sending = asyncio.create_task(trickle(line, rest))
        head = await line.head()
        assert head.status == 408
        error = json.loads(await line.body())
        assert error["type"] == "error"
        assert front.state.admission.taken == 0
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    assert not demo.state.calls


@pytest.mark.parametrize(
    "sent", [b"", HEAD, HEAD + b"\r\n", ASKED[:-1]], ids=["nothing", "head", "line", "body"]
)
async def test_half_closed_before_the_request_is_whole(
    front: Worker, demo: Demo, sent: bytes
) -> None:
    """What cannot come any more is not waited for, and half a request reaches nobody."""
    async with await Line.open(front.url) as line:
        await line.send(sent)
        line.writer.write_eof()
        with contextlib.suppress(BrokenOff):
            assert (await line.head()).status in {400, 408}
            await line.body()
        assert await line.ended()
    await until(lambda: front.state.admission.taken == 0, "a slot is held")
    assert not demo.state.calls


async def test_half_closed_after_the_request_is_leaving(front: Worker, demo: Demo) -> None:
    """As for nginx: the upstream's call ends with it, and nothing is generated for nobody."""
    async with await Line.open(front.url) as line:
        assert (await line.ask(ask_chat("tokens=100000;rate=50"))).status == 200
        await line.until(b"data: ")
        line.writer.write_eof()
        await until(lambda: front.state.admission.taken == 0, "the stream runs on")
    await until(lambda: all(call.ended_by for call in demo.state.calls), "the upstream works on")
