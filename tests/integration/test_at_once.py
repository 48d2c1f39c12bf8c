"""What has come goes out at once: no event waits for the next, no half for its other half."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from tests.demo.peer import FAMILIES, body_for
from tests.integration.conftest import Demo, StartWorker, Worker
from tests.integration.corpus import events_of
from tests.integration.raw import Line, ask_chat, request
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk

BINARY = b"HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"


class Gate:
    """Opened once for each part that has arrived; the upstream waits there before the next."""

    def __init__(self) -> None:
        self._arrived = asyncio.Semaphore(0)

    def open(self) -> None:
        """Let the next part out."""
        self._arrived.release()

    def script(self, head: bytes, parts: list[bytes]) -> Callable[[Connection], Awaitable[None]]:
        """An upstream that says each part only when the one before it has arrived."""

        async def script(connection: Connection) -> None:
            await connection.request()
            await connection.say(head)
            for part in parts:
                await connection.say(chunk(part))
                await self._arrived.acquire()
            await connection.say(LAST_CHUNK)
            await connection.left()

        return script


async def arrives(line: Line, wanted: bytes) -> None:
    """Read the body until just these bytes have come; `Line` fails when they do not."""
    got = b""
    while len(got) < len(wanted):
        got += await line.part()
    assert got == wanted


def halves(raw: bytes) -> list[bytes]:
    """Each event in two, but for the first, and for the end mark.

    The first is judged before the commit; the mark is taken for whole by clients when it begins.
    """
    first, *events = events_of(raw)
    parts = [first]
    for event in events:
        middle = 0 if event.startswith(b"data: [") else len(event) // 2
        parts += [half for half in (event[:middle], event[middle:]) if half]
    return parts


@pytest.mark.parametrize("family", FAMILIES)
async def test_half_an_event_does_not_wait_for_the_other_half(
    start_every: StartWorker, demo: Demo, http: aiohttp.ClientSession, family: str
) -> None:
    """The upstream goes on only when the client has what it said so far."""
    more = {"stream_options": {"include_usage": True}} if family == "chat" else {}
    path, body = body_for(family, "tokens=6", **more)
    async with http.post(demo.url + path, data=body) as answer:
        parts = halves(await answer.read())
    gate = Gate()
    async with Peer(gate.script(EVENTS, parts)) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            await line.ask(request("POST", path, body))
            for part in parts:
                await arrives(line, part)
                gate.open()
            assert await line.part() == b""


async def test_half_a_character_does_not_wait(start_every: StartWorker) -> None:
    """Nobody here needs to know what the bytes mean."""
    event = EVENT % "🌊".encode()
    middle = event.index(b"\xf0") + 2
    parts = [event, event[:middle], event[middle:], FINISH, DONE]
    gate = Gate()
    async with Peer(gate.script(EVENTS, parts)) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            await line.ask(ask_chat())
            for part in parts:
                await arrives(line, part)
                gate.open()


async def test_where_usage_is_hidden_no_token_waits(start_every: StartWorker) -> None:
    """Only what may be the usage chunk is looked at first, and that comes after the last token."""
    event = EVENT % b"token"
    parts = [event, event[:20], event[20:], event, FINISH]
    gate = Gate()
    async with Peer(gate.script(EVENTS, [*parts, USAGE[:20], USAGE[20:], DONE])) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            await line.ask(ask_chat())
            for part in parts:
                await arrives(line, part)
                gate.open()
            gate.open()
            gate.open()
            await arrives(line, DONE)
            gate.open()
            assert await line.part() == b""


async def test_a_binary_answer_does_not_wait(start_every: StartWorker) -> None:
    """Speech is played while it is made."""
    parts = [b"\xff\xfb", b"a" * 10, b"b" * 5000]
    gate = Gate()
    async with Peer(gate.script(BINARY, parts)) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            await line.ask(request("POST", "/v1/audio/speech", b"{}"))
            for part in parts:
                await arrives(line, part)
                gate.open()
            assert await line.part() == b""


async def test_the_head_comes_with_the_first_event(front: Worker) -> None:
    """Until then a failure can still have its true status; after it there is no reason to wait."""
    async with await Line.open(front.url) as line:
        head = await line.ask(ask_chat("tokens=5;hang=1"))
        assert head.status == 200
        assert b'"role":"assistant"' in await line.part()
