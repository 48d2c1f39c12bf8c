"""A truncated close: first the bytes that are left, then a break that the client sees."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest

from proxy.edge import truncated_close
from proxy.edge.truncated_close import close_truncated
from proxy.relay.client_writer import ClientWriter
from tests.relay.peers import FakeTransport

WORDS = b"data: last\n\n"


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.Transport, ClientWriter, socket.socket]]:
    """A server's side of a connection, and the bare socket at its other end."""
    served: asyncio.Queue[asyncio.StreamWriter] = asyncio.Queue()
    server = await asyncio.start_server(lambda _, writer: served.put_nowait(writer), "127.0.0.1", 0)
    other = socket.create_connection(server.sockets[0].getsockname())
    other.settimeout(5)
    writer = await served.get()
    transport = cast("asyncio.Transport", writer.transport)
    try:
        yield transport, ClientWriter(transport, writer, chunked=False, now=0.0), other
    finally:
        other.close()
        writer.close()
        server.close()


async def read_on(other: socket.socket) -> tuple[bytes, type[BaseException] | None]:
    """All that comes, and what ended it."""

    def read() -> tuple[bytes, type[BaseException] | None]:
        text = b""
        try:
            while part := other.recv(65536):
                text += part
        except OSError as error:
            return text, type(error)
        return text, None

    return await asyncio.to_thread(read)


@pytest.mark.parametrize(("reset", "ended"), [(True, ConnectionResetError), (False, None)])
async def test_the_bytes_that_are_left_come_first(
    reset: bool, ended: type[BaseException] | None
) -> None:
    """A reset is seen as an error, a close as an end, and each after all that was sent."""
    async with connected() as (transport, client, other):
        client.write(b"x" * 300_000 + WORDS, 0.0)
        reading = asyncio.create_task(read_on(other))
        await close_truncated(transport, client, reset=reset)
        text, error = await reading
    assert len(text) == 300_000 + len(WORDS)
    assert text.endswith(WORDS)
    assert error is ended


async def test_what_the_client_sent_meanwhile() -> None:
    """Unread bytes of the client turn a close into a reset: the bytes that are left come first."""
    async with connected() as (transport, client, other):
        transport.pause_reading()
        other.sendall(b"more of the request")
        client.write(WORDS, 0.0)
        await close_truncated(transport, client, reset=False)
        assert (await read_on(other))[0] == WORDS


async def test_a_client_that_takes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Has so long and no longer."""
    monkeypatch.setattr(truncated_close, "FLUSH_SECONDS", 0.05)
    aborted: list[bool] = []
    transport = FakeTransport(stuck=True)
    transport.abort = lambda: aborted.append(True)  # type: ignore[method-assign]
    client = ClientWriter(transport, transport, chunked=True, now=0.0)
    client.write(WORDS, 0.0)
    began = time.monotonic()
    await close_truncated(transport, client, reset=False)
    assert aborted == [True]
    assert time.monotonic() - began < 5


async def test_a_client_that_has_gone() -> None:
    """Is not waited for."""
    transport = FakeTransport(stuck=True)
    client = ClientWriter(transport, transport, chunked=True, now=0.0)
    client.write(WORDS, 0.0)
    client.left = True
    await close_truncated(transport, client, reset=True)
    assert transport.high != 0
