"""What a connection to an upstream may say, and when, against scripted peers."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

import pytest

from proxy import errors
from proxy.http import upstream_connection as connections
from proxy.upstream.call import Call
from tests.upstream.kit import GOOD, call, send, whole
from tests.upstream.peer import DEADLINE, EVENTS, LAST_CHUNK, Peer, chunk, plain, says, serves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.upstream.transport import Transport
    from tests.upstream.peer import Connection

NOBODYS = plain(b"for nobody", "408 Request Timeout")
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"
ANSWERS = {
    "length": ("POST", plain(b"ok"), b"ok"),
    "chunked": ("GET", CHUNKED, b"ok"),
    "stream": ("POST", GOOD, b"data: 1\n\n"),
    "nothing": ("POST", b"HTTP/1.1 204 No Content\r\n\r\n", b""),
    "head": ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n", b""),
}


def late(answer: bytes, delay: float, extra: bytes) -> Callable[[Connection], Awaitable[None]]:
    """A script: each answer is followed by what nobody asked for."""

    async def script(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(answer)
            await asyncio.sleep(delay)
            await connection.say(extra)

    return script


def ask(method: str) -> Call:
    """A request without a body unless its method wants one."""
    return call(method=method, body=b"{}" if method == "POST" else b"")


@pytest.mark.parametrize("extra", [NOBODYS, b"H", b"garbage"], ids=["answer", "begun", "garbage"])
@pytest.mark.parametrize("delay", [0.0, 0.001, 0.05])
@pytest.mark.parametrize("kind", ANSWERS)
async def test_what_nobody_asked_for_is_nobodys_answer(
    transport: Transport, kind: str, delay: float, extra: bytes
) -> None:
    """A connection that speaks at rest is closed, and the next request goes out on another."""
    method, answer, body = ANSWERS[kind]
    async with Peer(late(answer, delay, extra)) as peer:
        for number in range(1, 4):
            got = await send(transport, peer, ask(method))
            assert await whole(got) == body
            assert got.status in {200, 204}
            assert peer.accepted == number
            await peer.all_closed()


@pytest.mark.parametrize("kind", ANSWERS)
@pytest.mark.parametrize("size", [1, 3, 1000])
async def test_an_answer_and_what_follows_may_be_cut_anywhere(
    transport: Transport, kind: str, size: int
) -> None:
    """Extra bytes in the very segment that ends an answer cost its connection."""
    method, answer, body = ANSWERS[kind]
    sent = answer + b"HT"
    parts = [sent[at : at + size] for at in range(0, len(sent), size)]
    async with Peer(says(*parts), serves(answer)) as peer:
        assert await whole(await send(transport, peer, ask(method))) == body
        async with asyncio.timeout(DEADLINE):
            while transport.connections() != (0, 0):
                await asyncio.sleep(0.001)
        assert await whole(await send(transport, peer, ask(method))) == body
        assert peer.accepted == 2


async def test_bytes_that_the_loop_has_not_read_are_seen_at_the_checkout(
    transport: Transport,
) -> None:
    """Between their coming and the loop's next turn no request goes out."""
    spoke = asyncio.Event()

    async def once(connection: Connection) -> None:
        await connection.request()
        await connection.say(plain(b"1"))
        await spoke.wait()
        opened = connection._writer.get_extra_info("socket")
        # A write that does not wait for the loop.
        os.write(opened.fileno(), NOBODYS)

    async with Peer(once, serves(plain(b"2"))) as peer:
        assert await whole(await send(transport, peer)) == b"1"
        spoke.set()
        # The script's turn comes first, then at once this one, before the loop reads.
        await asyncio.sleep(0)
        assert await whole(await send(transport, peer)) == b"2"
        assert peer.accepted == 2


@pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS", "HEAD", "QUERY"])
async def test_a_body_that_may_not_be_read_ends_its_connection(
    transport: Transport, method: str
) -> None:
    """An upstream that takes the body for the next request answers nobody."""
    inner = b"GET /outside HTTP/1.1\r\nHost: a\r\n\r\n"
    asked = call(body=inner, method=method)
    async with Peer(serves(plain(b"" if method == "HEAD" else b"ok"))) as peer:
        for number in range(1, 3):
            await whole(await send(transport, peer, asked))
            assert peer.accepted == number
            await peer.all_closed()
        assert all(b"\r\nConnection: close\r\n" in head for head in peer.heads)


INTERIM = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
NO_STATUS = "sent an invalid status line"


@pytest.mark.parametrize(
    ("head", "why"),
    [
        (INTERIM * 1000 + plain(), "sent more than 64 interim responses"),
        (b"HTTP/1.1 000 Zero\r\n\r\n", NO_STATUS),
        (b"HTTP/1.1 099 Low\r\n", NO_STATUS),
        (b"HTTP/1.1 600 High\r\n\r\n", NO_STATUS),
        (b"HTTP/1.1 999 Higher\r\nContent-Length: 0\r\n\r\n", NO_STATUS),
        (b"HTTP/1.1 20 Short\r\n", NO_STATUS),
        (b"HTTP/1.1 2000 Long\r\n", NO_STATUS),
        (b"HTTP/1.1 -1 Less\r\n", NO_STATUS),
        (b"HTTP/1.1 200 a\x01b\r\nContent-Length: 0\r\n\r\n", NO_STATUS),
        (b"HTTP/1.1 200 a\rb\r\nContent-Length: 0\r\n\r\n", NO_STATUS),
        (b"HTTP/1.1 200 a\x00b\r\nContent-Length: 0\r\n\r\n", NO_STATUS),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "switched protocols without a request to"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"y" * 300_000, "sent headers of more than 256 KiB"),
        (
            b"HTTP/1.1 200 OK\r\n" + b"X-Many: 12345678\r\n" * 20_000 + b"\r\n",
            "sent headers of more than 256 KiB",
        ),
        (
            b"HTTP/1.1 103 Hints\r\nX: " + b"y" * 130_000 + b"\r\n\r\n" + INTERIM * 3 + b"x" * 9,
            "sent data that is not HTTP",
        ),
        (b"220 smtp.example.com ESMTP\r\n", "sent data that is not HTTP"),
        (b"HTTP/2.0 200 OK\r\n\r\n", NO_STATUS),
    ],
)
async def test_a_head_that_is_none_is_named(transport: Transport, head: bytes, why: str) -> None:
    """It is known at once, with the reason, and costs the connection and nothing else."""
    async with Peer(says(head)) as peer:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(errors.UpstreamInvalid, match=why):
                await send(transport, peer)
        await peer.all_closed()
    assert transport.connections() == (0, 0)


@pytest.mark.parametrize("size", [1, 7, 100_000])
async def test_a_few_interim_answers_are_dropped(transport: Transport, size: int) -> None:
    """However they are cut, the answer comes after them, a stream too."""
    sent = INTERIM * 60 + GOOD
    async with Peer(says(*(sent[at : at + size] for at in range(0, len(sent), size)))) as peer:
        assert await whole(await send(transport, peer)) == b"data: 1\n\n"


async def test_a_status_line_without_a_reason_is_one(transport: Transport) -> None:
    """Some servers leave out the space as well."""
    async with Peer(says(b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok")) as peer:
        response = await send(transport, peer)
        assert (response.status, response.reason) == (200, "")
        assert await whole(response) == b"ok"


async def test_a_head_that_drips_is_not_waited_for(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A head has its time from its first byte on, however long the silence before it was."""
    monkeypatch.setattr(connections, "LONGEST_HEAD_SECONDS", 0.05)

    async def drip(connection: Connection) -> None:
        await connection.request()
        await asyncio.sleep(0.1)
        for byte in b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000:
            await connection.say(bytes((byte,)))
            await asyncio.sleep(0.02)

    async with Peer(drip) as peer:
        async with asyncio.timeout(DEADLINE):
            with pytest.raises(errors.UpstreamInvalid, match=r"took more than .* for its headers"):
                await send(transport, peer)
        await peer.all_closed()


async def test_a_stream_longer_than_a_heads_time_is_not_cut(
    transport: Transport, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time of a head that came in two pieces ends with the head."""
    monkeypatch.setattr(connections, "LONGEST_HEAD_SECONDS", 0.05)

    async def slowly(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS[:20], EVENTS[20:])
        await asyncio.sleep(0.1)
        await connection.say(chunk(b"data: 1\n\n") + LAST_CHUNK)

    async with Peer(slowly) as peer:
        assert await whole(await send(transport, peer)) == b"data: 1\n\n"
