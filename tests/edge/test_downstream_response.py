"""The errors that Sluice answers with, and the headers of its streams."""

from __future__ import annotations

import asyncio
import json
from unittest.mock import Mock

import pytest
from aiohttp.http_writer import StreamWriter
from aiohttp.test_utils import make_mocked_request

from proxy.edge.downstream_response import DownstreamResponse, error_response, stream_headers
from proxy.errors import BadRequest, Overloaded, SluiceError
from proxy.record import Family, RequestRecord
from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter
from tests.relay.peers import FakeTransport


def record(family: Family = Family.CHAT) -> RequestRecord:
    return RequestRecord("req-1", "POST", "/v1/x", family, started_at=0.0)


@pytest.mark.parametrize(
    ("error", "family", "kind"),
    [
        (BadRequest("No."), Family.CHAT, "invalid_request_error"),
        (BadRequest("No."), Family.MESSAGES, "invalid_request_error"),
        (Overloaded("Full."), Family.CHAT, "server_error"),
        (Overloaded("Full."), Family.MESSAGES, "overloaded_error"),
    ],
)
def test_an_error_in_the_familys_shape(error: SluiceError, family: Family, kind: str) -> None:
    """SDKs find the type where they look for it; people find the request and what to do."""
    answer = error_response(error, record(family))
    body = answer.body
    assert isinstance(body, bytes)
    document = json.loads(body)
    assert document["error"]["type"] == kind
    assert "req-1" in document["error"]["message"]
    assert answer.headers["X-Request-ID"] == "req-1"
    assert (document.get("type") == "error") is (family is Family.MESSAGES)


@pytest.mark.parametrize(("seconds", "header"), [(None, "1"), (0.2, "1"), (2.1, "3")])
def test_when_to_come_again(seconds: float | None, header: str) -> None:
    """`Retry-After` is in whole seconds, never 0."""
    answer = error_response(Overloaded("Full.", retry_after=seconds), record())
    assert answer.headers["Retry-After"] == header


def test_a_stream_begun_before_the_upstream_answered() -> None:
    """Its headers keep whatever stands in front from holding events back."""
    headers = stream_headers({}, record())
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["X-Accel-Buffering"] == "no"
    assert "no-transform" in headers["Cache-Control"]


async def opened(first: bytes, transport: FakeTransport) -> ClientWriter:
    """A reply's client, once head and first bytes have been handed over."""
    protocol = Mock(transport=transport)
    writer = StreamWriter(protocol, asyncio.get_running_loop())
    request = make_mocked_request(
        "POST", "/v1/x", writer=writer, protocol=protocol, transport=transport
    )
    return await DownstreamResponse(headers=stream_headers({}, record())).open(request, first)


async def test_what_came_with_the_head_leaves_with_it() -> None:
    """In one write, and so in one wake-up of whoever reads; it counts as sent."""
    transport = FakeTransport()
    client = await opened(b"data: 1\n\n", transport)
    (written,) = transport.written
    assert written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert written.endswith(b"\r\n\r\n9\r\ndata: 1\n\n\r\n")
    assert client.sent == 9
    assert client.began_at is not None


async def test_a_head_waits_for_nothing() -> None:
    """Where no byte of the body has come it leaves alone."""
    transport = FakeTransport()
    client = await opened(b"", transport)
    assert transport.text.endswith(b"\r\n\r\n")
    assert (client.sent, client.began_at) == (0, None)


async def test_a_long_beginning_is_no_reason_to_wait() -> None:
    """More than the client's buffer takes goes after the head, and the client then lags."""
    first, transport = b"x" * (BUFFERED_BYTES + 1), FakeTransport(stuck=True)
    async with asyncio.timeout(1):
        client = await opened(first, transport)
    assert client.sent == len(first)
    assert client.began_at is not None
    assert client.is_congested()


async def test_a_client_that_is_gone_before_the_head() -> None:
    """Is known to have left, and nothing is written."""
    transport = FakeTransport()
    transport.closing = True
    client = await opened(b"data: 1\n\n", transport)
    assert client.left
    assert transport.written == []
