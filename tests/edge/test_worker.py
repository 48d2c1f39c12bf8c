"""A worker as a process: it serves, drains, and stops."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
import pytest

from proxy.edge.worker import UNSENT_BYTES, _freeze_gc, _open
from tests.edge.asking import CHAT, chat
from tests.fixtures.ports import free_port
from tests.integration.conftest import Demo

READY_SECONDS = 20.0


def test_garbage_is_collected_once_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its start has the collector disabled."""
    # Whatever else concerns the collector would stay so for the tests that follow.
    for name in ("freeze", "set_threshold"):
        monkeypatch.setattr(gc, name, lambda *_: None)
    gc.disable()
    try:
        _freeze_gc()
        assert gc.isenabled()
    finally:
        gc.enable()


@asynccontextmanager
async def process(port: int, **settings: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A worker process on a port; killed if it is still there in the end."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("SLUICE_")}
    environment |= {"SLUICE_LISTEN_ADDRESS": "127.0.0.1"} | settings
    command = [sys.executable, "-m", "proxy", "worker", "--port", str(port)]
    started = await asyncio.create_subprocess_exec(
        *command, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
        await started.communicate()


async def ready(url: str) -> None:
    async with asyncio.timeout(READY_SECONDS), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(url + "/readyz") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize(
    ("drain", "ending"), [("30", b"data: [DONE]\n\n"), ("0.2", b'"code": "gateway_stopped"')]
)
async def test_sigterm_during_a_stream(demo: Demo, drain: str, ending: bytes) -> None:
    """A stream may end within the drain; at its deadline it is cut visibly. The exit is 0."""
    port = free_port()
    settings = {"SLUICE_UPSTREAM_URL": demo.url + "/v1", "SLUICE_DRAIN_SECONDS": drain}
    async with process(port, **settings) as worker, aiohttp.ClientSession() as http:
        url = f"http://127.0.0.1:{port}"
        await ready(url)
        async with http.post(url + CHAT, json=chat("demo;tokens=40;rate=40")) as answer:
            text, whole = await answer.content.readuntil(b"\n\n"), False
            worker.send_signal(signal.SIGTERM)
            with contextlib.suppress(aiohttp.ClientPayloadError):
                while part := await answer.content.readany():
                    text += part
                whole = True
        assert ending in text
        assert whole is (b"[DONE]" in text) is (ending == b"data: [DONE]\n\n")
        assert await asyncio.wait_for(worker.wait(), 15) == 0


async def test_a_second_signal(demo: Demo) -> None:
    """It stops at once, whatever runs."""
    port = free_port()
    async with (
        process(port, SLUICE_UPSTREAM_URL=demo.url + "/v1") as worker,
        aiohttp.ClientSession() as http,
    ):
        url = f"http://127.0.0.1:{port}"
        await ready(url)
        async with http.post(url + CHAT, json=chat("demo;tokens=400;rate=20")) as answer:
            await answer.content.readuntil(b"\n\n")
            worker.send_signal(signal.SIGTERM)
            with pytest.raises((aiohttp.ClientError, TimeoutError)):
                async with asyncio.timeout(0.3):
                    await answer.content.readexactly(10**9)
            worker.send_signal(signal.SIGTERM)
            assert await asyncio.wait_for(worker.wait(), 5) != 0


async def test_a_worker_that_cannot_start() -> None:
    """It says in one line what an operator can mend, and exits with 2."""
    async with process(free_port(), SLUICE_LOG_FORMAT="json") as worker:
        _, error = await asyncio.wait_for(worker.communicate(), READY_SECONDS)
        assert worker.returncode == 2
        assert b"SLUICE_UPSTREAM_URL" in error
        assert b"Traceback" not in error


def test_the_kernel_holds_little_for_a_client_that_does_not_read() -> None:
    """Connections inherit the bound from the socket that accepts them."""
    with _open("127.0.0.1", 0) as listening:
        with socket.create_connection(listening.getsockname()):
            accepted, _ = listening.accept()
        with accepted:
            unsent = accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT)
    assert unsent == UNSENT_BYTES
