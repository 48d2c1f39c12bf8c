"""The transport against scripted peers on real sockets."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import replace
from pathlib import Path

import pytest
from multidict import CIMultiDict

from proxy.upstream.transport import Transport
from tests.upstream.kit import HEAD, call, send, whole
from tests.upstream.peer import DEADLINE, EVENTS, Connection, Peer, plain, says, serves


async def test_a_request_goes_out_as_it_came_in(transport: Transport) -> None:
    """Method, raw path, raw query, fields and body arrive, and nothing is added but the framing."""
    asked = replace(
        call(body=b"body", method="PUT", path="/v1/files/a%2Fb%20c//d?x=%41+b&&y"),
        headers=CIMultiDict([("X-Many", "1"), ("X-Many", "2")]),
    )
    async with Peer(serves(plain())) as peer:
        with await send(transport, peer, asked) as response:
            assert await whole(response) == b"ok"
        host = peer.url.removeprefix("http://").encode()
        assert peer.heads == [
            b"PUT /v1/files/a%2Fb%20c//d?x=%41+b&&y HTTP/1.1\r\n"
            b"Host: " + host + b"\r\nX-Many: 1\r\nX-Many: 2\r\nContent-Length: 4\r\n\r\n"
        ]
        assert peer.bodies == [b"body"]


async def test_the_answer_comes_with_status_reason_and_its_own_fields(
    transport: Transport,
) -> None:
    """Status line and end-to-end fields are the upstream's; those of the hop stay behind."""
    head = plain(b"{}", "418 Short And Stout", {"Retry-After": "7", "Keep-Alive": "timeout=5"})
    async with Peer(serves(head)) as peer:
        with await send(transport, peer) as response:
            assert (response.status, response.reason) == (418, "Short And Stout")
            assert list(response.headers.items()) == [("Content-Length", "2"), ("Retry-After", "7")]
            assert await whole(response) == b"{}"


def descriptors() -> int:
    """Count the files and sockets that this process holds open."""
    return len(list(Path("/proc/self/fd").iterdir()))


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
        task = asyncio.create_task(send(transport, peer, call(body=body)))
        await reached.wait()
        await asyncio.sleep(0)
        before = descriptors()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        async with asyncio.timeout(DEADLINE):
            while descriptors() != before - 1:
                await asyncio.sleep(0.001)
        gone.set()
        await peer.all_closed()
    assert transport.connections() == (0, 0)


async def test_interim_answers_are_skipped(transport: Transport) -> None:
    """Any number of 1xx heads before the answer is no answer."""
    hints = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with Peer(serves(b"HTTP/1.1 100 Continue\r\n\r\n" + hints + plain())) as peer:
        with await send(transport, peer) as response:
            assert (response.status, await whole(response)) == (200, b"ok")


async def test_a_redirect_is_an_answer_like_any_other(transport: Transport) -> None:
    """It is not followed: the key would go to whoever it names."""
    async with Peer(serves(plain(b"", "307 Temporary Redirect", {"Location": "/else"}))) as peer:
        with await send(transport, peer) as response:
            assert (response.status, response.headers["Location"]) == (307, "/else")
            assert await whole(response) == b""
        assert peer.accepted == 1


async def test_a_head_of_64_kib_is_read(transport: Transport) -> None:
    """One field of 64 KiB, or hundreds of small ones, are an answer."""
    many = {f"X-{number}": "y" * 100 for number in range(600)}
    async with Peer(serves(plain(fields={"X-Big": "y" * 65536}), plain(fields=many))) as peer:
        with await send(transport, peer) as answer:
            assert len(answer.headers["X-Big"]) == 65536
            await whole(answer)
        with await send(transport, peer) as response:
            assert len(response.headers) == 601
            await whole(response)


async def test_the_upstreams_sockets_are_tuned(transport: Transport) -> None:
    """Small writes leave at once, and a peer that vanished is noticed."""
    async with Peer(says(EVENTS)) as peer:
        with await send(transport, peer) as response:
            connection = response._client_response.connection
            assert connection is not None
            assert connection.transport is not None
            opened = connection.transport.get_extra_info("socket")
            assert opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert opened.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize(
    ("method", "answer"),
    [
        ("HEAD", HEAD + b"Content-Length: 100\r\n\r\n"),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n"),
    ],
)
async def test_an_answer_without_a_body_is_whole(
    transport: Transport, method: str, answer: bytes
) -> None:
    """A length that only describes a body is passed on, not waited for."""
    async with Peer(serves(answer)) as peer:
        for _ in range(2):
            with await send(transport, peer, call(body=b"", method=method)) as got:
                assert not got.ended_by_close
                assert ("Content-Length" in got.headers) is (b"Content-Length" in answer)
                assert await whole(got) == b""
        assert peer.accepted == 1
