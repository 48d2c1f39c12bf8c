"""The body of an answer: every byte, at once, and an end that can be trusted."""

from __future__ import annotations

import asyncio
import gzip

import pytest

from proxy import errors
from proxy.upstream.transport import Transport
from tests.upstream.kit import HEAD, send, whole
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk, plain, says, serves

FIVE = b"5\r\nhello\r\n"
BY_LENGTH = HEAD + b"Content-Length: 9\r\n\r\n"
BY_CLOSE = HEAD + b"\r\n"


async def test_each_read_of_a_stream_is_handed_on_at_once(transport: Transport) -> None:
    """Bytes reach the reader before the next ones are sent."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS, chunk(b"data: 1\n"))
        await go_on.wait()
        await connection.say(chunk(b"\n"), LAST_CHUNK)
        await connection.left()

    async with Peer(script) as peer:
        with await send(transport, peer) as response:
            assert response.is_event_stream
            assert await response.read() == b"data: 1\n"
            go_on.set()
            assert await whole(response) == b"\n"


async def test_a_fully_read_answer_returns_its_connection(transport: Transport) -> None:
    """Two calls in a row share one connection."""
    async with Peer(serves(plain(b"1"), plain(b"2"))) as peer:
        for expected in (b"1", b"2"):
            with await send(transport, peer) as response:
                assert await whole(response) == expected
            assert transport.connections() == (0, 1)
        assert peer.accepted == 1


async def test_closing_before_the_end_closes_the_connection_at_once(transport: Transport) -> None:
    """The upstream sees the end within 100 ms of the close."""
    left: list[float] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS, chunk(b"data: 1\n\n"))
        left.append(await connection.left())

    delays = []
    async with Peer(script) as peer:
        # The best of three: the machine may be busy with something else.
        for _ in range(3):
            with await send(transport, peer) as response:
                await response.read()
            closed = asyncio.get_running_loop().time()
            await peer.all_closed()
            delays.append(left[-1] - closed)
    assert min(delays) < 0.1


@pytest.mark.parametrize(
    ("head", "rest", "then"),
    [
        (EVENTS + FIVE, b"", "close"),
        (EVENTS + FIVE, b"", "reset"),
        (EVENTS + FIVE, b"9\r\n", "close"),
        (EVENTS + FIVE, b"zz\r\nbroken", "wait"),
        (EVENTS + FIVE, b"zz\r\nbroken", "close"),
        (BY_LENGTH + b"hello", b"", "close"),
        (BY_LENGTH + b"hello", b"", "reset"),
        (BY_CLOSE + b"hello", b"", "reset"),
    ],
)
async def test_a_cut_answer_says_so_after_all_that_came(
    transport: Transport, head: bytes, rest: bytes, then: str
) -> None:
    """Every byte before the cut is handed out, then the cut is an error, however it was made."""
    go_on = asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(head)
        await go_on.wait()
        await connection.say(rest)
        await connection.end(then)

    async with Peer(script) as peer:
        with await send(transport, peer) as response:
            ends: list[errors.SluiceError | None] = []
            response.when_ended(ends.append)
            assert await response.read() == b"hello"
            go_on.set()
            async with asyncio.timeout(5):
                with pytest.raises(errors.UpstreamCut) as raised:
                    await response.read()
                with pytest.raises(errors.UpstreamCut):
                    await response.read()
        await peer.all_closed()
    assert ends == [raised.value]


async def test_bytes_that_came_with_the_cut_are_not_lost(transport: Transport) -> None:
    """A reader that is late still gets what came before the connection closed."""
    async with Peer(says(EVENTS + FIVE, FIVE, then="close")) as peer:
        with await send(transport, peer) as response:
            await peer.all_closed()
            while not response._content.exception():
                await asyncio.sleep(0)
            assert await response.read() == b"hellohello"
            with pytest.raises(errors.UpstreamCut):
                await response.read()


async def test_a_body_without_a_length_ends_with_its_connection(transport: Transport) -> None:
    """Such an end is clean for HTTP/1.1, but the answer says that nothing vouches for it."""
    head = HEAD + b"Content-Type: text/event-stream\r\n\r\n"
    async with Peer(says(head, b"data: 1\n\n", then="close")) as peer:
        with await send(transport, peer) as response:
            assert response.ended_by_close
            assert await whole(response) == b"data: 1\n\n"


async def test_the_end_is_told_once(transport: Transport) -> None:
    """However an answer ends, its holder hears of it one time."""
    async with Peer(serves(plain())) as peer:
        response = await send(transport, peer)
        ends: list[errors.SluiceError | None] = []
        response.when_ended(ends.append)
        assert await whole(response) == b"ok"
        response.close()
        response.close()
    assert ends == [None]


async def test_a_stream_compressed_unasked_comes_in_the_clear(transport: Transport) -> None:
    """Each piece is decoded as far as it goes, and the coding is no longer announced."""
    packed = gzip.compress(b"data: 1\n\n") + gzip.compress(b"data: 2\n\n")
    head = EVENTS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    parts = [chunk(packed[at : at + 5]) for at in range(0, len(packed), 5)]
    async with Peer(says(head, *parts, LAST_CHUNK)) as peer:
        with await send(transport, peer) as response:
            assert response.is_event_stream
            assert "Content-Encoding" not in response.headers
            assert await whole(response) == b"data: 1\n\ndata: 2\n\n"


async def test_a_broken_compression_is_a_cut(transport: Transport) -> None:
    """Bytes that are not what the coding says end the answer with an error."""
    head = EVENTS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with Peer(says(head, chunk(b"data: 1\n\n"), LAST_CHUNK)) as peer:
        with await send(transport, peer) as response, pytest.raises(errors.UpstreamCut):
            await response.read()


async def test_a_compressed_document_stays_as_it_is(transport: Transport) -> None:
    """What is no stream goes through byte for byte, coding and length kept."""
    packed = gzip.compress(b'{"a": 1}')
    async with Peer(serves(plain(packed, fields={"Content-Encoding": "gzip"}))) as peer:
        with await send(transport, peer) as response:
            assert not response.is_event_stream
            assert response.headers["Content-Encoding"] == "gzip"
            assert await whole(response) == packed


async def test_a_reader_that_pauses_slows_the_upstream(transport: Transport) -> None:
    """Unread bytes are bounded: the upstream's writes block instead of filling the memory."""
    written = 0

    async def script(connection: Connection) -> None:
        nonlocal written
        await connection.request()
        await connection.say(EVENTS)
        while True:
            await connection.say(chunk(b"x" * 65536))
            written += 65536

    async with Peer(script) as peer:
        with await send(transport, peer) as response:
            await response.read()
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.1)
            pending = response.source._pending if response.source else []
            assert response._content._size + sum(map(len, pending)) < 1024 * 1024
