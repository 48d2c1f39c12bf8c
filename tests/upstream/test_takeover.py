"""Chunked event streams go past the parser, and everything else goes through it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from proxy import errors
from proxy.upstream.transport import Transport
from tests.upstream.kit import GOOD, call, send, whole
from tests.upstream.peer import (
    DEADLINE,
    EVENTS,
    LAST_CHUNK,
    Connection,
    Peer,
    chunk,
    plain,
    says,
    serves,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

ONE, TWO = b"data: 1\n\n", b"data: 2\n\n"


@pytest.fixture
async def fast() -> AsyncIterator[Transport]:
    """Give a transport with the fast path, which must have let go of everything in the end."""
    async with Transport() as opened:
        yield opened
        assert opened.connections()[0] == 0


class Taker:
    """A receiver that writes down what it gets."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.chunks = bytearray()
        self.ends: list[errors.SluiceError | None] = []
        self.over = asyncio.Event()

    def received(self, data: bytes, chunk: bytes = b"") -> None:
        """Write it down."""
        self.data += data
        self.chunks += chunk

    def ended(self, error: errors.SluiceError | None) -> None:
        """Write it down."""
        self.ends.append(error)
        self.over.set()


def dripped(data: bytes, size: int) -> list[bytes]:
    """Cut into pieces of a size."""
    return [data[at : at + size] for at in range(0, len(data), size)]


@pytest.mark.parametrize(
    ("head", "taken"),
    [
        (EVENTS, True),
        (EVENTS.lower().replace(b"http", b"HTTP"), True),
        (EVENTS.replace(b"/event-stream", b"/event-stream; charset=utf-8"), True),
        (EVENTS.replace(b"200", b"201"), True),
        (b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + EVENTS, True),
        (EVENTS.replace(b"text/event-stream", b"application/json"), False),
        (EVENTS.replace(b"200", b"429"), False),
        (EVENTS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: br\r\n\r\n"), False),
        (EVENTS.replace(b"\r\n", b"\n"), False),
    ],
)
async def test_which_bodies_are_taken(fast: Transport, head: bytes, taken: bool) -> None:
    """Good, chunked, uncompressed event streams; all bodies read the same."""
    async with Peer(serves(head + chunk(ONE) + LAST_CHUNK)) as peer:
        for _ in range(2):
            answer = await send(fast, peer)
            assert (answer.source is not None) is taken
            assert await whole(answer) == ONE
        assert peer.accepted == 1


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_a_stream_is_the_same_however_it_is_cut(fast: Transport, size: int) -> None:
    """Head, chunks and end arrive in pieces, on one connection after another."""
    script = says(*dripped(EVENTS + chunk(ONE) + chunk(TWO) + LAST_CHUNK, size))
    async with Peer(script) as peer:
        assert await whole(await send(fast, peer)) == ONE + TWO


async def test_a_receiver_gets_the_rest_in_callbacks(fast: Transport) -> None:
    """What was read before stays read; the end is told once, and the connection is kept."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS, chunk(ONE))
        await go_on.wait()
        await connection.say(chunk(TWO), LAST_CHUNK)
        await connection.request()
        await connection.say(plain())
        await connection.left()

    async with Peer(script) as peer:
        with await send(fast, peer) as answer:
            assert await answer.read() == ONE
            taker = Taker()
            assert answer.source is not None
            answer.source.flow(taker)
            go_on.set()
            async with asyncio.timeout(DEADLINE):
                await taker.over.wait()
            assert (bytes(taker.data), taker.ends) == (TWO, [None])
            assert bytes(taker.chunks) == chunk(TWO)
        assert await whole(await send(fast, peer)) == b"ok"
        assert peer.accepted == 1


@pytest.mark.parametrize("then", ["close", "reset"])
@pytest.mark.parametrize("rest", [b"", b"zz\r\nbroken", b"9\r\ndat"])
async def test_a_receiver_is_told_of_the_cut(fast: Transport, rest: bytes, then: str) -> None:
    """However the stream breaks: after all that came, once, by Sluice's own name for it."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS, chunk(ONE))
        await go_on.wait()
        await connection.say(rest)
        await connection.end(then)

    async with Peer(script) as peer:
        with await send(fast, peer) as answer:
            taker = Taker()
            assert answer.source is not None
            answer.source.flow(taker)
            go_on.set()
            async with asyncio.timeout(DEADLINE):
                await taker.over.wait()
        await peer.all_closed()
    assert taker.data.startswith(ONE)
    assert [type(end) for end in taker.ends] == [errors.UpstreamCut]


async def test_a_receiver_that_comes_after_the_end_hears_of_it(fast: Transport) -> None:
    """A short stream may be over before anybody takes it."""
    async with Peer(serves(GOOD)) as peer:
        with await send(fast, peer) as answer:
            assert await answer.read() == ONE
            taker = Taker()
            assert answer.source is not None
            answer.source.flow(taker)
        assert taker.ends == [None]


async def test_a_receiver_that_pauses_holds_the_upstream_back(fast: Transport) -> None:
    """Nothing more is read until it goes on, and then nothing is missing."""
    count = 0
    size = 400

    async def script(connection: Connection) -> None:
        nonlocal count
        await connection.request()
        await connection.say(EVENTS)
        while count < size:
            await connection.say(chunk(b"x" * 65536))
            count += 1
        await connection.say(LAST_CHUNK)
        await connection.left()

    async with Peer(script) as peer:
        with await send(fast, peer) as answer:
            taker = Taker()
            assert answer.source is not None
            answer.source.flow(taker)
            answer.source.pause()
            before = -1
            while before != count:
                before = count
                await asyncio.sleep(0.1)
            assert count < size
            had = len(taker.data)
            await asyncio.sleep(0)
            assert len(taker.data) == had
            answer.source.resume()
            async with asyncio.timeout(DEADLINE):
                await taker.over.wait()
            assert len(taker.data) == size * 65536


async def test_what_is_no_http_is_known_at_once(fast: Transport) -> None:
    """A peer that greets in another protocol and waits is not waited for."""
    async with Peer(says(b"SSH-2.0-OpenSSH_9\r\n")) as peer:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(errors.UpstreamInvalid):
                await send(fast, peer)
        await peer.all_closed()


@pytest.mark.parametrize(("status", "method"), [(b"204 No Content", "POST"), (b"200 OK", "HEAD")])
async def test_an_answer_that_has_no_body_is_not_taken(
    fast: Transport, status: bytes, method: str
) -> None:
    """What it sends for one all the same is seen, and costs the connection."""
    bad = EVENTS.replace(b"200 OK", status) + chunk(ONE) + LAST_CHUNK
    async with Peer(says(bad), serves(GOOD)) as peer:
        answer = await send(fast, peer, call(method=method))
        assert answer.source is None
        assert await whole(answer) == b""
        async with asyncio.timeout(DEADLINE):
            assert await whole(await send(fast, peer)) == ONE
        assert peer.accepted == 2


async def test_bytes_after_the_end_cost_only_the_connection(fast: Transport) -> None:
    """The stream is whole; what came after it is not taken for the next answer."""
    async with Peer(says(GOOD + b"HTTP/1.1 200 OK\r\n"), serves(GOOD)) as peer:
        for _ in range(2):
            assert await whole(await send(fast, peer)) == ONE
        assert peer.accepted == 2
