"""Chunked event streams go past the parser, and everything else goes through it."""

from __future__ import annotations

import asyncio

import pytest

from proxy import errors
from proxy.upstream.transport import Transport
from tests.upstream.kit import GOOD, call, send, whole
from tests.upstream.peer import (
    DEADLINE,
    EVENTS,
    LAST_CHUNK,
    Peer,
    chunk,
    says,
    serves,
)

ONE, TWO = b"data: 1\n\n", b"data: 2\n\n"


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
            response = await send(fast, peer)
            assert (response.source is not None) is taken
            assert await whole(response) == ONE
        assert peer.accepted == 1


@pytest.mark.parametrize("size", [1, 2, 7, 10_000])
async def test_a_stream_is_the_same_however_it_is_cut(fast: Transport, size: int) -> None:
    """Head, chunks and end arrive in pieces, on one connection after another."""
    script = says(*dripped(EVENTS + chunk(ONE) + chunk(TWO) + LAST_CHUNK, size))
    async with Peer(script) as peer:
        assert await whole(await send(fast, peer)) == ONE + TWO


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
        response = await send(fast, peer, call(method=method))
        assert response.source is None
        assert await whole(response) == b""
        async with asyncio.timeout(DEADLINE):
            assert await whole(await send(fast, peer)) == ONE
        assert peer.accepted == 2


async def test_bytes_after_the_end_cost_only_the_connection(fast: Transport) -> None:
    """The stream is whole; what came after it is not taken for the next answer."""
    async with Peer(says(GOOD + b"HTTP/1.1 200 OK\r\n"), serves(GOOD)) as peer:
        for _ in range(2):
            assert await whole(await send(fast, peer)) == ONE
        assert peer.accepted == 2
