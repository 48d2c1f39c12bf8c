"""What Sluice relies on below aiohttp's documented interface: each name, its shape, and why.

An upgrade of aiohttp that moves one of them fails here, in words, before anything else does.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque

import aiohttp
import pytest
from aiohttp import HttpVersion, HttpVersion11, web
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_protocol import RequestHandler

from proxy.edge import downstream_response
from proxy.http.connection import Connection

METHODS: list[tuple[type, str, list[str], str]] = [
    (ResponseHandler, "__init__", ["self", "loop"], "Connection adds what it knows of its rest"),
    (ResponseHandler, "data_received", ["self", "data"], "bytes at rest close the connection"),
    (ResponseHandler, "connection_lost", ["self", "exc"], "a body that bypasses learns why"),
    (ResponseHandler, "eof_received", ["self"], "the bypass passes it on"),
    (ResponseHandler, "force_close", ["self"], "a connection that spoke unasked is not reused"),
    (ResponseHandler, "is_connected", ["self"], "the pool asks it before it hands one out"),
    (aiohttp.TCPConnector, "_get", ["self", "key", "traces"], "a new upstream is listened to"),
    (
        aiohttp.TCPConnector,
        "_release",
        ["self", "key", "protocol", "should_close"],
        "a connection that is out of step does not go back to the pool",
    ),
    (web.AppRunner, "_make_server", ["self"], "the only place that makes the server"),
    (web.Server, "__call__", ["self"], "makes the protocol of each connection"),
    (
        RequestHandler,
        "handle_error",
        ["self", "request", "status", "exc", "message"],
        "what is no HTTP is refused as JSON, and the client's bytes are not repeated",
    ),
    (StreamReader, "_read_nowait", ["self", "n"], "bytes that came before a failure are not lost"),
]


@pytest.mark.parametrize(
    ("owner", "name", "parameters", "why"),
    METHODS,
    ids=[f"{o.__name__}.{n}" for o, n, *_ in METHODS],
)
def test_a_method(owner: type, name: str, parameters: list[str], why: str) -> None:
    """It is there, and takes what is passed to it."""
    assert list(inspect.signature(getattr(owner, name)).parameters) == parameters, why


def test_what_a_request_tells_its_connection() -> None:
    """`set_response_params` is passed on whole, and marks that an answer is waited for."""
    taken = inspect.signature(ResponseHandler.set_response_params).parameters
    assert {"skip_payload", "read_until_eof", "read_timeout"} <= set(taken)


async def test_the_attributes_of_a_client_connection() -> None:
    """The parser, its buffer and the last error tell whether anything unasked has come."""
    connection = Connection(asyncio.get_running_loop())
    for name in ("_parser", "_skip_payload", "_buffer", "_exception", "_loop", "transport"):
        assert hasattr(connection, name), name


async def test_the_attributes_of_the_pool() -> None:
    """The gauges count in them, and the protocol is chosen by one of them."""
    async with aiohttp.TCPConnector() as connector:
        assert connector._conns == {}
        assert connector._acquired == set()
        assert callable(connector._factory)


async def test_the_switch_of_the_session() -> None:
    """Aiohttp would send a GET again by itself, uncounted: the switch is not public."""
    async with aiohttp.ClientSession() as session:
        assert session._retry_connection is True


def test_the_buffer_of_a_body() -> None:
    """What has come and not been read stands there."""
    assert "self._buffer:" in inspect.getsource(StreamReader.__init__)


async def test_the_attributes_of_a_server_connection() -> None:
    """Requests that wait to be handled, and whether one is waited for: for the head's timeout."""
    server = web.Server(lambda _request: web.Response())  # type: ignore[arg-type,return-value]
    handler = server()
    assert handler._messages == deque()
    assert handler._waiter is None
    assert hasattr(server, "_kwargs")
    assert hasattr(server, "_loop")


def test_the_version_that_an_answer_is_written_in() -> None:
    """The status line repeats the request's, which may be one that is not spoken."""
    request = make_mocked_request("GET", "/", version=HttpVersion(2, 0))
    assert request.version == HttpVersion(2, 0)
    request._cache["version"] = HttpVersion11
    assert request.version == HttpVersion11


def test_the_head_that_waits_for_the_body() -> None:
    """A response's head and first bytes share one write where this is off."""
    assert web.StreamResponse._send_headers_immediately is True
    assert downstream_response.DownstreamResponse._send_headers_immediately is False
