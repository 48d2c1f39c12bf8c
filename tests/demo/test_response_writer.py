from __future__ import annotations

import asyncio
import resource
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest
from aiohttp import web

from proxy.demo.app import create_app, create_runner
from proxy.demo.recorded_calls import DEMO_STATE
from tests.demo.peer import body_for, call, listen, request

if TYPE_CHECKING:
    from tests.demo.conftest import Demo

MIB = 1024**2


async def test_a_connection_is_used_again(demo: Demo) -> None:
    """After a whole answer the next request goes over the same connection."""
    target, body = body_for("chat", "tokens=2")
    async with aiohttp.ClientSession() as session:
        for _ in range(3):
            async with session.post(demo.url + target, data=body) as answer:
                assert b"[DONE]" in await answer.read()
    assert demo.state.finished == 3
    assert demo.runner.server is not None
    assert demo.runner.server.requests_count == 3


async def test_a_slow_reader_slows_the_demo_down(demo: Demo) -> None:
    """While nobody reads, writing stops at what the sockets hold, however much there is to say."""
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port, limit=64 * 1024)
    writer.write(request(*body_for("chat", "line=64MiB")))
    await demo.state.until(lambda state: bool(state.calls) and state.calls[0].bytes_sent > 0)
    (seen,) = demo.state.calls
    before = -1
    while seen.bytes_sent != before:
        before = seen.bytes_sent
        await asyncio.sleep(0.05)
    assert before < 32 * MIB
    assert seen in demo.state.open
    heard = await listen(reader)
    writer.close()
    assert heard.whole
    assert len(heard.body) > 64 * MIB
    assert seen.ended_by == "finished"


async def test_a_long_line_is_never_held(demo: Demo) -> None:
    """A line of 256 MiB passes without the process growing by a fraction of it."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    reader, writer = await asyncio.open_connection("127.0.0.1", demo.port)
    writer.write(request(*body_for("chat", "line=256MiB")))
    size = 0
    while data := await reader.read(MIB):
        size += len(data)
    writer.close()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert size > 256 * MIB
    assert grown < 48 * MIB


async def test_head_has_no_body(demo: Demo) -> None:
    """An answer to HEAD announces a length and sends nothing."""
    heard = await call(demo.port, request("/v1/echo", method="HEAD"))
    assert heard.status == 200
    assert int(heard.header("content-length") or 0) > 0
    assert heard.payload == b""


async def test_an_old_client_gets_no_chunks(demo: Demo) -> None:
    """To HTTP/1.0 the body ends with the connection."""
    sent = request(*body_for("chat", "")).replace(b"HTTP/1.1", b"HTTP/1.0", 1)
    heard = await call(demo.port, sent)
    assert heard.header("transfer-encoding") is None
    assert heard.body.endswith(b"data: [DONE]\n\n")
    assert heard.end == "closed"


@pytest.mark.parametrize("words", ["", "cut=2", "cut-reset=2", "reset", "refuse"])
async def test_over_a_unix_socket(words: str) -> None:
    """A unix socket has no RST; everything else is as on TCP."""
    app = create_app()
    runner = create_runner(app)
    await runner.setup()
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        path = str(Path(folder) / "demo.sock")
        await web.UnixSite(runner, path).start()
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(request(*body_for("chat", words)))
        heard = await listen(reader)
        writer.close()
        await runner.cleanup()
    assert heard.end == "closed"
    assert heard.body.count(b"data: ") == {"": 35, "cut=2": 2, "cut-reset=2": 2}.get(words, 0)
    assert (app[DEMO_STATE].finished, app[DEMO_STATE].faults) == ((0, 1) if words else (1, 0))
