"""A body that was taken past the parser, handed to a receiver."""

from __future__ import annotations

import asyncio

import pytest

from proxy import errors
from proxy.upstream.transport import Transport
from tests.upstream.kit import GOOD, send, whole
from tests.upstream.peer import (
    DEADLINE,
    EVENTS,
    LAST_CHUNK,
    Connection,
    Peer,
    chunk,
    plain,
    serves,
)

ONE, TWO = b"data: 1\n\n", b"data: 2\n\n"


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
        with await send(fast, peer) as response:
            assert await response.read() == ONE
            taker = Taker()
            assert response.source is not None
            response.source.flow(taker)
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
        with await send(fast, peer) as response:
            taker = Taker()
            assert response.source is not None
            response.source.flow(taker)
            go_on.set()
            async with asyncio.timeout(DEADLINE):
                await taker.over.wait()
        await peer.all_closed()
    assert taker.data.startswith(ONE)
    assert [type(end) for end in taker.ends] == [errors.UpstreamCut]


async def test_a_receiver_that_comes_after_the_end_hears_of_it(fast: Transport) -> None:
    """A short stream may be over before anybody takes it."""
    async with Peer(serves(GOOD)) as peer:
        with await send(fast, peer) as response:
            assert await response.read() == ONE
            taker = Taker()
            assert response.source is not None
            response.source.flow(taker)
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
        with await send(fast, peer) as response:
            taker = Taker()
            assert response.source is not None
            response.source.flow(taker)
            response.source.pause()
            before = -1
            while before != count:
                before = count
                await asyncio.sleep(0.1)
            assert count < size
            had = len(taker.data)
            await asyncio.sleep(0)
            assert len(taker.data) == had
            response.source.resume()
            async with asyncio.timeout(DEADLINE):
                await taker.over.wait()
            assert len(taker.data) == size * 65536
