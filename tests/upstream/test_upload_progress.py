"""A request leaves whole, and it is known when."""

from __future__ import annotations

from proxy.upstream.transport import Transport
from tests.upstream.kit import call, target, whole
from tests.upstream.peer import Peer, plain, serves


async def test_a_request_without_a_body_gets_none(transport: Transport) -> None:
    """A GET goes out without a length, and counts as sent all the same."""
    sent: list[bool] = []
    async with Peer(serves(plain())) as peer:
        asked = call(body=b"", method="GET", path="/v1/models")
        with await transport.send(asked, target(peer.url), lambda: sent.append(True)) as response:
            assert await whole(response) == b"ok"
        assert b"content-length" not in peer.heads[0].lower()
    assert sent == [True]


async def test_a_body_of_many_megabytes_arrives_whole(transport: Transport) -> None:
    """A large body goes out in pieces, in order, and is said to be sent at its end."""
    body = bytes(range(256)) * 4096 * 8
    sent: list[bool] = []
    async with Peer(serves(plain())) as peer:
        response = await transport.send(
            call(body=body), target(peer.url), lambda: sent.append(True)
        )
        with response:
            assert await whole(response) == b"ok"
        assert peer.bodies == [body]
    assert sent == [True]
