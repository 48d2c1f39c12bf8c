"""Bytes that are no HTTP request."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web
from prometheus_client import generate_latest
from structlog.testing import capture_logs

from proxy.edge.app import create_runner
from proxy.edge.protocol_errors import GatewayRunner
from proxy.edge.worker_state import WorkerState, open_worker_state
from proxy.settings import Settings

HEAD_SECONDS = 0.3


async def _hello(_request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _half(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"half")
    raise RuntimeError("defect")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where an application listens."""
    app = web.Application()
    app.router.add_get("/", _hello)
    app.router.add_get("/half", _half)
    runner = GatewayRunner(app, access_log=None, max_field_size=1000)
    runner.head_seconds = HEAD_SECONDS
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.port
    await runner.cleanup()


async def said(port: int, sent: bytes) -> bytes:
    """All that comes back until the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(sent)
    answer = b""
    # A reset may overtake the answer where more was sent than was read.
    with contextlib.suppress(ConnectionError):
        async with asyncio.timeout(5):
            while part := await reader.read(2**16):
                answer += part
    writer.close()
    return answer


@pytest.mark.parametrize(
    ("sent", "message"),
    [
        (b"\x16\x03\x01\r\n\r\n", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nKey: sk-secret\x01\r\n\r\n", "not valid HTTP"),
        (b"GET / HTTP/1.1\r\nHost: x\r\nKey: " + b"sk-secret" * 200 + b"\r\n\r\n", "too long"),
    ],
    ids=["garbage", "control", "long"],
)
async def test_it_is_refused_as_json(
    port: int, sent: bytes, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a request id; the connection ends, and no log repeats what was sent."""
    caplog.set_level("DEBUG")
    with capture_logs() as lines:
        head, _, body = (await said(port, sent)).partition(b"\r\n\r\n")
    assert head.split(b" ", 2)[1] == (b"431" if message == "too long" else b"400")
    error = json.loads(body)["error"]
    assert message in error["message"]
    assert error["request_id"].encode() in head
    assert b"sk-secret" not in body
    [line] = [line for line in lines if line["event"] == "malformed_request"]
    assert line["request_id"] == error["request_id"]
    assert "sk-secret" not in caplog.text + str(lines)


async def test_the_request_before_it_is_answered(port: int) -> None:
    """What came whole is served; only what follows is refused."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.readuntil(b"hello")
        writer.write(b"\x00garbage\r\n\r\n")
        assert b"invalid_request" in await reader.read()
    writer.close()


async def test_an_answer_that_has_begun_is_not_continued_by_an_error(port: int) -> None:
    """A defect in mid-answer breaks the connection off."""
    answer = await said(port, b"GET /half HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"half" in answer
    assert b"error" not in answer
    assert not answer.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    "begun", [b"", b"G", b"GET / HTTP/1.1\r\nHost: x\r\n"], ids=["silent", "a byte", "no end"]
)
@pytest.mark.parametrize("before", [0, 1])
async def test_a_head_has_its_time(port: int, begun: bytes, before: int) -> None:
    """A connection that asks nothing is closed; else silent ones shut everybody out."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(5):
        for _ in range(before):
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            await reader.readuntil(b"hello")
        if before and not begun:
            # Between two requests it is idle, and that has a time of its own.
            await asyncio.sleep(2 * HEAD_SECONDS)
            writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await reader.readuntil(b"hello")
        else:
            writer.write(begun)
            assert await reader.read() == b""
    writer.close()


async def test_a_head_without_an_end(port: int) -> None:
    """It is ended by its size, long before its time."""
    many = b"".join(b"X-%d: %s\r\n" % (number, b"x" * 900) for number in range(200))
    said_back = await said(port, b"GET / HTTP/1.1\r\nHost: x\r\n" + many)
    assert b"headers_too_large" in said_back or said_back == b""


MALFORMED = {
    "a field": ("HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n\r\n", 400),
    "a length": ("HTTP/1.1\r\nHost: x\r\nContent-Length: 2x\r\n\r\n", 400),
    "a version": ("HTTP/3.0\r\nHost: x\r\n\r\n", 505),
    "fields": ("HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 300 + "\r\n", 431),
    "a long field": (f"HTTP/1.1\r\nHost: x\r\nA: {'b' * 40_000}\r\n\r\n", 431),
}


@pytest.mark.parametrize(("rest", "status"), MALFORMED.values(), ids=MALFORMED)
async def test_it_has_the_shape_of_its_familys_errors(rest: str, status: int) -> None:
    """Its path is read although the rest cannot be, so that each SDK finds its own error."""
    settings = Settings(upstream_url="http://127.0.0.1:9/v1")
    async with open_worker_state(settings) as state, _worker(state) as port:
        for path, mark in (
            ("/v1/messages", b'"type": "error"'),
            ("/v1beta/models/m:generateContent", b"google.rpc.ErrorInfo"),
            ("/v1/chat/completions", b'"error": {"message"'),
        ):
            answer = await said(port, f"POST {path}?key=a {rest}".encode())
            assert answer.split(b" ", 2)[1] == b"%d" % status
            assert mark in answer, path


@pytest.mark.parametrize("own", ["", "the-clients-own"])
async def test_it_has_one_id_and_is_counted_once(own: str) -> None:
    """The answer, the request's line and the metric tell of the same rejected request."""
    settings = Settings(upstream_url="http://127.0.0.1:9/v1")
    with capture_logs() as lines:
        answer, body, counted = await _refused_by_a_worker(settings, own)
    request_id = json.loads(body)["error"]["request_id"]
    assert f"x-request-id: {request_id}" in answer.decode().lower()
    assert request_id == own or not own
    entries = [line for line in lines if line["event"] == "request"]
    assert [(line["request_id"], line["ended_by"]) for line in entries] == [
        (request_id, "rejected")
    ]
    samples = [
        line
        for line in counted.splitlines()
        if line.startswith("sluice_requests_total{") and 'ended_by="rejected"' in line
    ]
    assert [line.rpartition(" ")[2] for line in samples] == ["1.0"], samples


async def _refused_by_a_worker(settings: Settings, own: str) -> tuple[bytes, bytes, str]:
    """Head and body of its answer to what is no request, and its metrics."""
    async with open_worker_state(settings) as state, _worker(state) as port:
        field = f"X-Request-ID: {own}\r\n" if own else ""
        head = f"GET /v1/models HTTP/1.1\r\nHost: x\r\nBad Name: 1\r\n{field}\r\n".encode()
        answer, _, body = (await said(port, head)).partition(b"\r\n\r\n")
    # Not before its end: the first requests are counted once the prices have been read.
    return answer, body, generate_latest(state.telemetry.registry).decode()


@asynccontextmanager
async def _worker(state: WorkerState) -> AsyncIterator[int]:
    runner = create_runner(state)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.port
    await runner.cleanup()
