"""A refusal is kept while another attempt is made."""

from __future__ import annotations

import pytest

from proxy.upstream import buffered_response
from proxy.upstream.buffered_response import buffer_response
from proxy.upstream.transport import Transport
from tests.upstream.kit import BUSY, HEAD, send, whole
from tests.upstream.peer import Peer, plain, says, serves


async def test_a_refusal_is_kept_whole(transport: Transport) -> None:
    """Status, fields and body are there after the connection has gone back to the pool."""
    async with Peer(serves(BUSY)) as peer:
        response = await buffer_response(await send(transport, peer))
        assert transport.connections() == (0, 1)
    assert response is not None
    assert (response.status, response.reason, response.upstream) == (
        503,
        "Service Unavailable",
        "a",
    )
    assert response.headers["Retry-After"] == "0"
    assert await whole(response) == b"busy"
    assert await response.read() == b""


@pytest.mark.parametrize(
    "script",
    [
        serves(plain(b"x" * 10_000_000, "503 No")),
        says(HEAD + b"Content-Length: 9\r\n\r\nhello", then="close"),
        says(HEAD + b"Content-Length: 9\r\n\r\nhello", then="wait"),
    ],
    ids=["long", "cut", "slow"],
)
async def test_what_cannot_be_kept_is_let_go(
    transport: Transport, script: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A long, broken or slow refusal is not waited for, and its connection is closed."""
    monkeypatch.setattr(buffered_response, "_LONGEST_SECONDS", 0.1)
    async with Peer(script) as peer:  # type: ignore[arg-type]
        assert await buffer_response(await send(transport, peer)) is None
        await peer.all_closed()
    assert transport.connections() == (0, 0)
