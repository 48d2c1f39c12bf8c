from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.nginx.front import DEADLINE, EVENTS, Front, Heard, plain

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

ASK = "GET /v1/x HTTP/1.1\r\nHost: sluice.example\r\n\r\n"


@pytest.mark.parametrize("framing", ["chunked", "length", "until closed"])
async def test_each_event_passes_before_the_next_one_exists(
    program: NginxProgram, framing: str
) -> None:
    """Nothing is held back: the client has read an event before the worker writes the next."""
    read = asyncio.Event()
    length = {"chunked": "Transfer-Encoding: chunked", "length": f"Content-Length: {5 * 9}"}

    async def script(heard: Heard) -> None:
        how = length.get(framing, "Connection: close")
        await heard.say(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n{how}\r\n\r\n")
        for number in range(5):
            event = f"data: {number}\n\n"
            await (heard.chunk(event) if framing == "chunked" else heard.say(event))
            await asyncio.wait_for(read.wait(), DEADLINE)
            read.clear()
        if framing == "chunked":
            await heard.say("0\r\n\r\n")
        heard.writer.close()

    async with Front(program) as front:
        front.worker.script = script
        wire = await front.connect()
        await wire.say(ASK)
        for number in range(5):
            await wire.until(f"data: {number}\n\n")
            read.set()
        wire.leave()


async def test_events_tell_the_next_proxy_not_to_buffer(program: NginxProgram) -> None:
    """An event stream leaves with exactly one of each header that keeps proxies from holding it."""

    async def script(heard: Heard) -> None:
        await heard.say(
            EVENTS + "X-Accel-Buffering: yes\r\nCache-Control: max-age=60\r\n\r\n0\r\n\r\n"
        )

    async with Front(program) as front:
        front.worker.script = script
        got = await front.get()
    assert got.one("X-Accel-Buffering") == "no"
    assert got.one("Cache-Control") == "no-cache, no-transform"


async def test_other_answers_keep_their_own_caching(program: NginxProgram) -> None:
    """Only events are never to be stored; what an upstream says of a model list stands."""

    async def script(heard: Heard) -> None:
        await heard.say(plain(more="Cache-Control: max-age=60\r\n"))

    async with Front(program) as front:
        front.worker.script = script
        got = await front.get()
    assert got.one("Cache-Control") == "max-age=60"
    assert got.all("X-Accel-Buffering") == []


async def test_an_upstream_cannot_steer_nginx(program: NginxProgram) -> None:
    """`X-Accel-Redirect` from behind neither sends the client elsewhere nor reaches it."""

    async def script(heard: Heard) -> None:
        await heard.say(plain('{"mine": 1}', more="X-Accel-Redirect: /internal/status\r\n"))

    async with Front(program) as front:
        front.worker.script = script
        got = await front.get()
    assert got.json() == {"mine": 1}
    assert got.all("X-Accel-Redirect") == []


@pytest.mark.parametrize("framing", ["chunked", "length", "until closed"])
async def test_a_cut_reaches_the_client_as_a_cut(program: NginxProgram, framing: str) -> None:
    """A worker that hangs up in mid-answer never looks like a whole answer."""

    async def script(heard: Heard) -> None:
        if framing == "chunked":
            await heard.say(EVENTS + "\r\n")
            await heard.chunk("data: 1\n\n")
        else:
            await heard.say("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ndata: 1\n\n")
        heard.writer.transport.abort() if framing == "until closed" else heard.writer.close()

    async with Front(program) as front:
        front.worker.script = script
        wire = await front.connect()
        await wire.say(ASK)
        got = await wire.rest()
    assert "data: 1\n\n" in got.body
    assert not got.body.endswith("0\r\n\r\n")
    assert framing == "chunked" or len(got.body) < 100


async def test_a_client_that_leaves_is_gone_for_the_worker_at_once(program: NginxProgram) -> None:
    """The worker's connection closes within a tenth of a second of the client's."""
    left = asyncio.get_running_loop().create_future()

    async def script(heard: Heard) -> None:
        await heard.say(EVENTS + "\r\n")
        await heard.chunk("data: 1\n\n")
        await heard.left()
        left.set_result(asyncio.get_running_loop().time())

    async with Front(program) as front:
        front.worker.script = script
        wire = await front.connect()
        await wire.say(ASK)
        await wire.until("data: 1\n\n")
        wire.leave()
        then = asyncio.get_running_loop().time()
        assert await asyncio.wait_for(left, DEADLINE) - then < 0.1


async def test_a_body_passes_while_it_is_still_being_sent(program: NginxProgram) -> None:
    """The worker reads the first part of a body before the client has sent the last."""
    seen = asyncio.Event()

    async def script(heard: Heard) -> None:
        assert await heard.reader.readexactly(5) == b"first"
        seen.set()
        await heard.reader.readexactly(4)
        await heard.say(plain('{"whole": true}'))

    async with Front(program) as front:
        front.worker.script = script
        wire = await front.connect()
        await wire.say(
            "POST /v1/x HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nConnection: close\r\n\r\nfirst"
        )
        await asyncio.wait_for(seen.wait(), DEADLINE)
        await wire.say("last")
        assert (await wire.rest()).json() == {"whole": True}
