"""Each library error becomes one of Sluice's errors, once."""

from __future__ import annotations

import socket
import ssl

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.http_exceptions import BadStatusLine

from proxy import errors
from proxy.upstream.error_map import CLIENT_ERRORS, map_body_error, map_request_error
from proxy.upstream.transport import StaleConnection, Transport
from tests.upstream.kit import HEAD, call, ignore, send, target, whole
from tests.upstream.peer import EVENTS, Connection, Peer, plain, says

KEY = ConnectionKey("secret.internal", 1, True, True, None, None, None)
FAILED = errors.ConnectFailed


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
            await transport.send(call(), target(url), ignore)


async def test_a_port_without_tls_is_a_failed_connection(transport: Transport) -> None:
    """A base URL that says https where there is only http is told as what it is."""

    async def script(connection: Connection) -> None:
        await connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await connection.left()

    async with Peer(script) as peer:
        url = peer.url.replace("http:", "https:")
        with pytest.raises(errors.ConnectFailed):
            await transport.send(call(), target(url), ignore)
        await peer.all_closed()


async def test_a_connection_that_is_not_accepted_times_out(transport: Transport) -> None:
    """A listener with a full backlog is a connect timeout, after the upstream's own limit."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        waiting = [socket.socket() for _ in range(3)]
        for waiter in waiting:
            waiter.setblocking(False)
            waiter.connect_ex(listener.getsockname())
        aim = target(f"http://127.0.0.1:{listener.getsockname()[1]}", 0.2)
        with pytest.raises(errors.ConnectTimeout):
            await transport.send(call(), aim, ignore)
        for waiter in waiting:
            waiter.close()


async def test_a_full_pool_does_not_blame_the_upstream() -> None:
    """A call that got none of the pool's connections is shed, not counted against the upstream."""
    async with Transport(pool_connections=1) as transport, Peer(says(EVENTS)) as peer:
        with await send(transport, peer):
            aim = target(peer.url, 0.05)
            with pytest.raises(errors.Overloaded):
                await transport.send(call(), aim, ignore)


async def test_an_old_connection_that_closes_is_nobodys_fault(transport: Transport) -> None:
    """A pooled connection that dies as the next call goes out is told apart from a reset."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(plain())
        await connection.request()

    async with Peer(script) as peer:
        with await send(transport, peer) as response:
            await whole(response)
        with pytest.raises(StaleConnection):
            await send(transport, peer)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (aiohttp.ConnectionTimeoutError(), errors.ConnectTimeout),
        (aiohttp.ClientConnectorDNSError(KEY, OSError(-2, "Name or service not known")), FAILED),
        (aiohttp.ClientConnectorSSLError(KEY, ssl.SSLError(1, "wrong version")), FAILED),
        (aiohttp.ClientConnectorCertificateError(KEY, ssl.SSLCertVerificationError()), FAILED),
        (aiohttp.ClientConnectorError(KEY, ConnectionRefusedError(111, "refused")), FAILED),
        (aiohttp.InvalidURL("http://0177.1"), FAILED),
        (aiohttp.ServerDisconnectedError(), errors.UpstreamReset),
        (aiohttp.ClientOSError(104, "reset"), errors.UpstreamReset),
        (aiohttp.ClientConnectionResetError(), errors.UpstreamReset),
        (ConnectionResetError(), errors.UpstreamReset),
        (aiohttp.ClientPayloadError(), errors.UpstreamInvalid),
        (BadStatusLine("x"), errors.UpstreamInvalid),
    ],
    ids=lambda error: type(error).__name__,
)
def test_each_foreign_error_has_a_name_of_ours(
    error: Exception, named: type[errors.SluiceError]
) -> None:
    """All of them are caught, and none is taken for another."""
    assert isinstance(error, CLIENT_ERRORS)
    mapped = map_request_error(error, "a", in_pool_queue=False)
    assert type(mapped) is named
    assert "secret.internal" not in mapped.happened


def test_a_certificate_is_refused_in_words() -> None:
    """The operator reads what is wrong with it."""
    bad = ssl.SSLCertVerificationError(1, "x")
    bad.verify_message = "certificate has expired"
    mapped = map_request_error(
        aiohttp.ClientConnectorCertificateError(KEY, bad), "a", in_pool_queue=False
    )
    assert mapped.happened == "Upstream a cannot be reached by TLS: certificate has expired."


def test_a_broken_body_is_a_cut() -> None:
    """Whatever broke it."""
    assert type(map_body_error(aiohttp.ClientPayloadError(), "a")) is errors.UpstreamCut
    assert (
        "connection reset by peer"
        in map_body_error(OSError(104, "Connection reset by peer"), "a").happened
    )
