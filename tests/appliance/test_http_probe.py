from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest

from proxy.appliance.http_probe import ProbeResponse, accepts, probe_port, probe_socket, reachable
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@contextlib.asynccontextmanager
async def saying(path: Path, answer: bytes, *, hang: bool = False) -> AsyncIterator[str]:
    """A server on a unix socket that says one thing."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        if hang:
            await over.wait()
        writer.close()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield str(path)
        over.set()


async def test_status_and_body(tmp_path: Path) -> None:
    """A whole answer is its status and its body."""
    async with saying(tmp_path / "s", b"HTTP/1.0 503 No\r\nA: b\r\n\r\nbody") as path:
        assert await probe_socket(path, "/readyz", seconds=5) == ProbeResponse(503, b"body")


@pytest.mark.parametrize(
    "response", [b"", b"HTTP/1.1 200 OK\r\n", b"what?\r\n\r\n", b"A B C\r\n\r\n"]
)
async def test_nonsense_is_no_answer(tmp_path: Path, response: bytes) -> None:
    """Half an answer, or none of HTTP, is none."""
    async with saying(tmp_path / "s", response) as path:
        assert await probe_socket(path, "/readyz", seconds=5) is None


async def test_silence_ends_at_the_deadline(tmp_path: Path) -> None:
    """Somebody who listens but does not answer is not waited for."""
    async with saying(tmp_path / "s", b"", hang=True) as path:
        assert await probe_socket(path, "/readyz", seconds=0.05) is None


async def test_nobody_is_no_answer(tmp_path: Path) -> None:
    """A missing socket and a closed port are no answer, and no error."""
    port = free_port()
    assert await probe_socket(str(tmp_path / "none"), "/", seconds=1) is None
    assert await probe_port("127.0.0.1", port, "/", seconds=1) is None
    assert not await accepts("127.0.0.1", port)


@pytest.mark.parametrize(
    ("listened", "asked"), [("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("10.0.0.5", "10.0.0.5")]
)
def test_every_address_is_asked_on_the_loopback(listened: str, asked: str) -> None:
    """What listens everywhere is reached on this machine."""
    assert reachable(listened) == asked
