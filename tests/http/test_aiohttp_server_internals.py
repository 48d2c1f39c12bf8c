"""Responses and their beginnings, as a client sees them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from proxy.http import aiohttp_server_internals
from proxy.http.aiohttp_server_internals import HeldHeadResponse

HEAD = b"Host: x\r\nConnection: close\r\n\r\n"


async def _held(request: web.Request) -> web.StreamResponse:
    response = HeldHeadResponse(headers={"Content-Length": "5"})
    assert not aiohttp_server_internals.has_begun(request)
    writer = await response.send_head(request, request.match_info["first"].encode())
    assert aiohttp_server_internals.has_begun(request)
    await writer.write(b"hello"[len(request.match_info["first"]) :])
    return response


async def _continued(request: web.Request) -> web.StreamResponse:
    await aiohttp_server_internals.send_continue(request)
    assert not aiohttp_server_internals.has_begun(request)
    return web.Response(text="hello")


async def _old(request: web.Request) -> web.StreamResponse:
    aiohttp_server_internals.answer_in_http11(request)
    return web.Response(text="hello")


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Where an application listens."""
    app = web.Application()
    app.router.add_get("/held/{first:.*}", _held)
    app.router.add_get("/continued", _continued)
    app.router.add_get("/old", _old)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield site.port
    await runner.cleanup()


async def answer(port: int, line: bytes) -> bytes:
    """All that comes back."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(line + b"\r\n" + HEAD)
    async with asyncio.timeout(5):
        received = await reader.read()
    writer.close()
    return received


@pytest.mark.parametrize("first", [b"", b"he"])
async def test_a_head_with_or_without_first_bytes(port: int, first: bytes) -> None:
    """It leaves once, and the body follows it whole."""
    received = await answer(port, b"GET /held/%b HTTP/1.1" % first)
    head, _, body = received.partition(b"\r\n\r\n")
    assert head.count(b"HTTP/1.1 200 OK") == 1
    assert body == b"hello"


async def test_an_interim_response_is_no_beginning(port: int) -> None:
    """The final one follows it."""
    received = await answer(port, b"GET /continued HTTP/1.1")
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n")


async def test_a_version_that_is_not_spoken(port: int) -> None:
    """The status line has the version that is."""
    assert (await answer(port, b"GET /old HTTP/1.0")).startswith(b"HTTP/1.1 200")
