"""What Sluice relies on below aiohttp's documented interface: each name, its shape, and why.

An upgrade of aiohttp that moves one of them fails here, in words, before anything else does.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections import deque
from pathlib import Path

import aiohttp
import pytest
from aiohttp import HttpVersion, HttpVersion11, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import RawRequestMessage, StreamWriter
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from aiohttp.payload import Payload
from aiohttp.streams import StreamReader
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_protocol import RequestHandler

from proxy.http.aiohttp_server_internals import HeldHeadResponse
from proxy.http.client_connection import ClientConnection
from proxy.http.upstream_connection import UpstreamConnection

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
    (RequestHandler, "connection_made", ["self", "transport"], "the first head's time begins"),
    (RequestHandler, "connection_lost", ["self", "exc"], "pipelined requests are counted"),
    (RequestHandler, "data_received", ["self", "data"], "a head has a time and a size"),
    (RequestHandler, "force_close", ["self"], "a refused body is read on for a moment"),
    (RequestHandler, "close", ["self"], "the requests after a lost one are not served"),
    (RequestHandler, "log_exception", ["self", "args", "kw"], "full memory has no traceback"),
    (web.BaseSite, "start", ["self"], "a listener that accepts by itself is only registered"),
    (web.StreamResponse, "prepare", ["self", "request"], "returns the writer of the body"),
    (StreamWriter, "send_headers", ["self"], "a head without a body's first bytes leaves, too"),
    (Payload, "write", ["self", "writer"], "a request's body leaves in pieces"),
    (Payload, "decode", ["self", "encoding", "errors"], "a payload must have it"),
    (StreamReader, "_read_nowait", ["self", "n"], "bytes that came before a failure are not lost"),
    (StreamReader, "set_exception", ["self", "exc", "exc_cause"], "a body that cannot be kept"),
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
    connection = UpstreamConnection(asyncio.get_running_loop())
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
    handler = ClientConnection(server, None, loop=server._loop, **server._kwargs)
    assert handler._messages == deque()
    nothing = (handler._waiter, handler._task_handler, handler._current_request)
    assert nothing == (None, None, None)
    assert (handler._request_count, handler._request_in_progress) == (0, False)
    assert handler.transport is None
    assert callable(server.request_handler)


def test_the_heads_that_are_waiting_to_be_served() -> None:
    """A head that was parsed tells these of itself; what was malformed is of another class."""
    for name in ("method", "path", "headers"):
        assert hasattr(RawRequestMessage, name), name


def test_the_errors_of_the_parser() -> None:
    """Which limit was hit stands in the arguments, and a status with the message."""
    assert 7 in LineTooLong("line", 7, "8").args
    fault = HttpProcessingError(code=502, message="sent nonsense")
    assert (fault.code, fault.message) == (502, "sent nonsense")


async def test_the_writer_of_a_response() -> None:
    """What it has written tells whether a response has begun, and can be set back."""
    writer = StreamWriter(BaseProtocol(asyncio.get_running_loop()), asyncio.get_running_loop())
    assert writer.output_size == 0
    writer.output_size = 1
    assert hasattr(writer, "transport")
    assert hasattr(writer, "protocol")


def test_the_attributes_of_a_payload() -> None:
    """Its value, its size, and that nothing of it is to be closed."""
    assert "self._value = value" in inspect.getsource(Payload.__init__)
    assert Payload._size is None
    assert Payload._autoclose is False


def test_the_version_that_an_answer_is_written_in() -> None:
    """The status line repeats the request's, which may be one that is not spoken."""
    request = make_mocked_request("GET", "/", version=HttpVersion(2, 0))
    assert request.version == HttpVersion(2, 0)
    request._cache["version"] = HttpVersion11
    assert request.version == HttpVersion11


def test_the_head_that_waits_for_the_body() -> None:
    """A response's head and first bytes share one write where this is off."""
    assert web.StreamResponse._send_headers_immediately is True
    assert HeldHeadResponse._send_headers_immediately is False


INTERNAL = re.compile(r"aiohttp\.(?!abc$|typedefs$|test_utils$)\w+")
"""Modules of aiohttp that its documentation does not name."""
ELSEWHERE = {
    ("proxy/appliance/admin_server.py", "aiohttp.web_protocol"): "it answers malformed requests",
    ("proxy/edge/early_disconnect.py", "aiohttp.http"): "the type of a parsed head",
    ("proxy/edge/protocol_errors.py", "aiohttp.http"): "the type of a parsed head",
    ("proxy/edge/protocol_errors.py", "aiohttp.http_exceptions"): "which limit a head broke",
    ("proxy/upstream/error_map.py", "aiohttp.http_exceptions"): "an upstream's invalid response",
    ("proxy/demo/request_handler.py", "aiohttp.http"): "a version",
    ("proxy/demo/upload_routes.py", "aiohttp.http_exceptions"): "a form that cannot be parsed",
    ("proxy/demo/upload_routes.py", "aiohttp.multipart"): "the type of a form's part",
}
"""What other rooms import: exceptions and types, nothing that they change."""


def test_nothing_else_goes_below_the_documented_interface() -> None:
    """Whatever imports aiohttp's inner modules lies in `proxy/http`, or is listed with a reason."""
    root = Path(__file__).parents[2]
    imports = set()
    for path in sorted((root / "proxy").rglob("*.py")):
        if path.parent.name == "http":
            continue
        name = str(path.relative_to(root))
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and INTERNAL.fullmatch(node.module or ""):
                imports.add((name, node.module))
    assert imports == set(ELSEWHERE)
