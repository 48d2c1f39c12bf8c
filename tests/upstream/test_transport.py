"""The transport against scripted peers on real sockets."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from typing import TYPE_CHECKING

import pytest
from multidict import CIMultiDict

from proxy import errors
from proxy.upstream.address import Base
from proxy.upstream.call import Call
from proxy.upstream.targets import Target
from proxy.upstream.transport import StaleConnection, Transport
from tests.upstream.peer import (
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

    from proxy.upstream.answer import LiveAnswer


@pytest.fixture
async def transport() -> AsyncIterator[Transport]:
    """Give a transport that must have let go of everything in the end."""
    async with Transport() as opened:
        yield opened
        assert opened.connections()[0] == 0, "a connection is still in use"


def target(url: str) -> Target:
    """Name the upstream at a URL `a`."""
    return Target(name="a", base=Base.of(url), connect_timeout=2.0)


def post(body: bytes = b"{}") -> Call:
    """Ask for a chat completion."""
    return Call("POST", "/v1/chat/completions", CIMultiDict(), body)


def ignore() -> None:
    """Be called when a request has left."""


async def send(transport: Transport, peer: Peer, call: Call | None = None) -> LiveAnswer:
    """Send a call to a peer."""
    return await transport.send(call or post(), target(peer.url), ignore)


async def whole(answer: LiveAnswer) -> bytes:
    """Read an answer to its end."""
    parts = []
    while part := await answer.read():
        parts.append(part)
    return b"".join(parts)


async def test_a_request_goes_out_as_it_came_in(transport: Transport) -> None:
    """Method, raw path, raw query, fields and body arrive, and nothing is added but the framing."""
    call = Call(
        "PUT",
        "/v1/files/a%2Fb%20c//d?x=%41+b&&y",
        CIMultiDict([("X-Many", "1"), ("X-Many", "2")]),
        b"body",
    )
    async with Peer(serves(plain())) as peer:
        with await send(transport, peer, call) as answer:
            assert await whole(answer) == b"ok"
        host = peer.url.removeprefix("http://").encode()
        assert peer.heads == [
            b"PUT /v1/files/a%2Fb%20c//d?x=%41+b&&y HTTP/1.1\r\n"
            b"Host: " + host + b"\r\nX-Many: 1\r\nX-Many: 2\r\nContent-Length: 4\r\n\r\n"
        ]
        assert peer.bodies == [b"body"]


async def test_a_request_without_a_body_gets_none(transport: Transport) -> None:
    """A GET goes out without a length, and counts as sent all the same."""
    sent: list[bool] = []
    async with Peer(serves(plain())) as peer:
        call = Call("GET", "/v1/models", CIMultiDict())
        with await transport.send(call, target(peer.url), lambda: sent.append(True)) as answer:
            assert await whole(answer) == b"ok"
        assert b"content-length" not in peer.heads[0].lower()
    assert sent == [True]


async def test_a_body_of_many_megabytes_arrives_whole(transport: Transport) -> None:
    """A large body goes out in pieces, in order, and is said to be sent at its end."""
    body = bytes(range(256)) * 4096 * 8
    sent: list[bool] = []
    async with Peer(serves(plain())) as peer:
        answer = await transport.send(post(body), target(peer.url), lambda: sent.append(True))
        with answer:
            assert await whole(answer) == b"ok"
        assert peer.bodies == [body]
    assert sent == [True]


async def test_the_answer_comes_with_status_reason_and_its_own_fields(
    transport: Transport,
) -> None:
    """Status line and end-to-end fields are the upstream's; those of the hop stay behind."""
    head = plain(b"{}", "418 Short And Stout", {"Retry-After": "7", "Keep-Alive": "timeout=5"})
    async with Peer(serves(head)) as peer:
        with await send(transport, peer) as answer:
            assert (answer.status, answer.reason) == (418, "Short And Stout")
            assert list(answer.headers.items()) == [("Content-Length", "2"), ("Retry-After", "7")]
            assert await whole(answer) == b"{}"


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
        with await send(transport, peer) as answer:
            assert answer.is_event_stream
            assert await answer.read() == b"data: 1\n"
            go_on.set()
            assert await whole(answer) == b"\n"


async def test_a_fully_read_answer_returns_its_connection(transport: Transport) -> None:
    """Two calls in a row share one connection."""
    async with Peer(serves(plain(b"1"), plain(b"2"))) as peer:
        for expected in (b"1", b"2"):
            with await send(transport, peer) as answer:
                assert await whole(answer) == expected
            assert transport.connections() == (0, 1)
        assert peer.accepted == 1


async def test_closing_before_the_end_closes_the_connection_at_once(transport: Transport) -> None:
    """The upstream sees the end within 100 ms of the close."""
    left: list[float] = []

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS, chunk(b"data: 1\n\n"))
        left.append(await connection.left())

    async with Peer(script) as peer:
        with await send(transport, peer) as answer:
            await answer.read()
        closed = asyncio.get_running_loop().time()
        await peer.all_closed()
    assert left[0] - closed < 0.1


@pytest.mark.parametrize("body", [b"{}", b"x" * 16_000_000], ids=["small", "not_taken"])
async def test_a_cancelled_call_closes_its_connection_at_once(
    transport: Transport, body: bytes
) -> None:
    """A caller that leaves before the head ends the upstream call, even with the body unsent."""
    reached, gone = asyncio.Event(), asyncio.Event()

    async def script(connection: Connection) -> None:
        await connection._reader.readuntil(b"\r\n\r\n")
        connection._writer.transport.pause_reading()  # type: ignore[attr-defined]
        reached.set()
        await gone.wait()
        connection._writer.transport.resume_reading()  # type: ignore[attr-defined]
        await connection.left()

    async with Peer(script) as peer:
        task = asyncio.create_task(send(transport, peer, post(body)))
        await reached.wait()
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gone.set()
        cancelled = time.monotonic()
        await peer.all_closed()
        assert time.monotonic() - cancelled < 1.0
    assert transport.connections() == (0, 0)


HEAD = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    ("parts", "then", "error"),
    [
        ([], "close", errors.UpstreamReset),
        ([], "reset", errors.UpstreamReset),
        ([HEAD + b"Content-"], "close", errors.UpstreamInvalid),
        ([HEAD + b"Content-"], "reset", errors.UpstreamReset),
        ([b"SSH-2.0-OpenSSH_9\r\n"], "close", errors.UpstreamInvalid),
        ([b"\x15\x03\x01\x00\x02\x02\x16"], "close", errors.UpstreamInvalid),
        ([HEAD + b"Content-Length: x\r\n\r\n"], "wait", errors.UpstreamInvalid),
        ([b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], "wait", errors.UpstreamInvalid),
    ],
)
async def test_what_is_no_answer_has_its_own_error(
    transport: Transport, parts: list[bytes], then: str, error: type[errors.SluiceError]
) -> None:
    """Silence, resets and foreign protocols are told apart, and leave no connection."""
    async with Peer(says(*parts, then=then)) as peer:
        with pytest.raises(error) as raised:
            await send(transport, peer)
        await peer.all_closed()
    assert type(raised.value) is error
    assert "127.0.0.1" not in raised.value.happened
    assert transport.connections() == (0, 0)


async def test_a_closed_port_is_a_failed_connection(transport: Transport) -> None:
    """Nobody listens: the error says so, by the upstream's name."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(errors.ConnectFailed, match="Upstream a cannot be reached: "):
            await transport.send(post(), target(url), ignore)


async def test_a_connection_that_is_not_accepted_times_out(transport: Transport) -> None:
    """A listener with a full backlog is a connect timeout, after the upstream's own limit."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        aim = Target("a", Base.of(f"http://127.0.0.1:{listener.getsockname()[1]}"))
        aim = Target(aim.name, aim.base, connect_timeout=0.2)
        with pytest.raises(errors.ConnectTimeout):
            await transport.send(post(), aim, ignore)
        for one in waiting:
            one.close()


async def test_a_full_pool_does_not_blame_the_upstream() -> None:
    """A call that got none of the pool's connections is shed, not counted against the upstream."""
    async with Transport(pool_connections=1) as transport, Peer(says(EVENTS)) as peer:
        with await send(transport, peer):
            aim = Target("a", Base.of(peer.url), connect_timeout=0.05)
            with pytest.raises(errors.Overloaded):
                await transport.send(post(), aim, ignore)


async def test_an_old_connection_that_closes_is_nobodys_fault(transport: Transport) -> None:
    """A pooled connection that dies as the next call goes out is told apart from a reset."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(plain())
        await connection.request()

    async with Peer(script) as peer:
        with await send(transport, peer) as answer:
            await whole(answer)
        with pytest.raises(StaleConnection):
            await send(transport, peer)


FIVE = b"5\r\nhello\r\n"


BY_LENGTH = HEAD + b"Content-Length: 9\r\n\r\n"
BY_CLOSE = HEAD + b"\r\n"


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
        with await send(transport, peer) as answer:
            ends: list[errors.SluiceError | None] = []
            answer.on_end = ends.append
            assert await answer.read() == b"hello"
            go_on.set()
            async with asyncio.timeout(5):
                with pytest.raises(errors.UpstreamCut) as raised:
                    await answer.read()
                with pytest.raises(errors.UpstreamCut):
                    await answer.read()
        await peer.all_closed()
    assert ends == [raised.value]


async def test_bytes_that_came_with_the_cut_are_not_lost(transport: Transport) -> None:
    """A reader that is late still gets what came before the connection closed."""
    async with Peer(says(EVENTS + FIVE, FIVE, then="close")) as peer:
        with await send(transport, peer) as answer:
            await peer.all_closed()
            while not answer._content.exception():
                await asyncio.sleep(0)
            assert await answer.read() == b"hellohello"
            with pytest.raises(errors.UpstreamCut):
                await answer.read()


async def test_a_body_without_a_length_ends_with_its_connection(transport: Transport) -> None:
    """Such an end is clean for HTTP/1.1, but the answer says that nothing vouches for it."""
    head = HEAD + b"Content-Type: text/event-stream\r\n\r\n"
    async with Peer(says(head, b"data: 1\n\n", then="close")) as peer:
        with await send(transport, peer) as answer:
            assert answer.ended_by_close
            assert await whole(answer) == b"data: 1\n\n"


async def test_the_end_is_told_once(transport: Transport) -> None:
    """However an answer ends, its holder hears of it one time."""
    async with Peer(serves(plain())) as peer:
        answer = await send(transport, peer)
        ends: list[errors.SluiceError | None] = []
        answer.on_end = ends.append
        assert await whole(answer) == b"ok"
        answer.close()
        answer.close()
    assert ends == [None]


async def test_interim_answers_are_skipped(transport: Transport) -> None:
    """Any number of 1xx heads before the answer is no answer."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with Peer(serves(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + plain())) as peer:
        with await send(transport, peer) as answer:
            assert (answer.status, await whole(answer)) == (200, b"ok")


async def test_a_redirect_is_an_answer_like_any_other(transport: Transport) -> None:
    """It is not followed: the key would go to whoever it names."""
    async with Peer(serves(plain(b"", "307 Temporary Redirect", {"Location": "/else"}))) as peer:
        with await send(transport, peer) as answer:
            assert (answer.status, answer.headers["Location"]) == (307, "/else")
            assert await whole(answer) == b""
        assert peer.accepted == 1


async def test_a_head_of_64_kib_is_read(transport: Transport) -> None:
    """One field of 64 KiB, or hundreds of small ones, are an answer."""
    many = {f"X-{number}": "y" * 100 for number in range(600)}
    async with Peer(serves(plain(fields={"X-Big": "y" * 65536}), plain(fields=many))) as peer:
        with await send(transport, peer) as answer:
            assert len(answer.headers["X-Big"]) == 65536
            await whole(answer)
        with await send(transport, peer) as answer:
            assert len(answer.headers) == 601
            await whole(answer)


async def test_a_stream_compressed_unasked_comes_in_the_clear(transport: Transport) -> None:
    """Each piece is decoded as far as it goes, and the coding is no longer announced."""
    packed = gzip.compress(b"data: 1\n\n") + gzip.compress(b"data: 2\n\n")
    head = EVENTS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    parts = [chunk(packed[at : at + 5]) for at in range(0, len(packed), 5)]
    async with Peer(says(head, *parts, LAST_CHUNK)) as peer:
        with await send(transport, peer) as answer:
            assert answer.is_event_stream
            assert "Content-Encoding" not in answer.headers
            assert await whole(answer) == b"data: 1\n\ndata: 2\n\n"


async def test_a_broken_compression_is_a_cut(transport: Transport) -> None:
    """Bytes that are not what the coding says end the answer with an error."""
    head = EVENTS.replace(b"\r\n\r\n", b"\r\nContent-Encoding: gzip\r\n\r\n")
    async with Peer(says(head, chunk(b"data: 1\n\n"), LAST_CHUNK)) as peer:
        with await send(transport, peer) as answer, pytest.raises(errors.UpstreamCut):
            await answer.read()


async def test_a_compressed_document_stays_as_it_is(transport: Transport) -> None:
    """What is no stream goes through byte for byte, coding and length kept."""
    packed = gzip.compress(b'{"a": 1}')
    async with Peer(serves(plain(packed, fields={"Content-Encoding": "gzip"}))) as peer:
        with await send(transport, peer) as answer:
            assert not answer.is_event_stream
            assert answer.headers["Content-Encoding"] == "gzip"
            assert await whole(answer) == packed


async def test_the_upstreams_sockets_are_tuned(transport: Transport) -> None:
    """Small writes leave at once, and a peer that vanished is noticed."""
    async with Peer(says(EVENTS)) as peer:
        with await send(transport, peer) as answer:
            connection = answer._response.connection
            assert connection is not None
            assert connection.transport is not None
            opened = connection.transport.get_extra_info("socket")
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


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
        with await send(transport, peer) as answer:
            await answer.read()
            before = -1
            while before != written:
                before = written
                await asyncio.sleep(0.1)
            assert answer._content._size < 1024 * 1024
