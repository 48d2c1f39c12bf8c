"""Reads into a buffer that was there before."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from proxy.http.bounded_reads import BoundedReads

LOOPS = {"uvloop": uvloop.new_event_loop, "asyncio": asyncio.new_event_loop}


class Recording(asyncio.Protocol):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.data = b""
        self.lost = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.events.append("made")

    def data_received(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        self.data += data

    def out_of_memory(self, error: MemoryError, lost: memoryview) -> None:
        self.events.append("short")
        self.data += lost

    def eof_received(self) -> bool | None:
        self.events.append("eof")
        return None

    def connection_lost(self, exc: Exception | None) -> None:
        self.events.append("lost")
        self.lost.set_result(exc)


def no_memory(_: object) -> bytes:
    """In place of what would copy them."""
    raise MemoryError


async def talk(sent: bytes) -> Recording:
    """What a reader behind the buffer sees of so many bytes."""
    loop = asyncio.get_running_loop()
    reader = Recording()
    protocol = BoundedReads(reader)
    server = await loop.create_server(lambda: protocol, "127.0.0.1", 0)
    async with server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(sent)
        writer.close()
        await reader.lost
    return reader


def run(loop: str, talking: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(talking())


@pytest.mark.parametrize("loop", LOOPS)
def test_what_is_sent_is_read(loop: str) -> None:
    """Every byte in its order, however many buffers it fills, then the end."""
    sent = bytes(range(256)) * 1024
    reader = run(loop, lambda: talk(sent))
    assert reader.data == sent
    assert reader.events == ["made", "eof", "lost"]


@pytest.mark.parametrize("loop", LOOPS)
def test_no_memory_for_what_came(loop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The reader hears of it and can look at it, and the connection goes on."""
    monkeypatch.setattr("proxy.http.bounded_reads.bytes", no_memory, raising=False)
    reader = run(loop, lambda: talk(b"hello"))
    assert reader.data == b"hello"
    assert reader.events == ["made", "short", "eof", "lost"]
    assert reader.lost.result() is None
