"""Connections are taken in at once and begin a few at a time."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from proxy.edge import listener
from proxy.edge.listener import ACCEPTS_PER_TURN, PacedListener

GET = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


class Listening(socket.socket):
    """A listening socket whose system has run out of descriptors for so many calls."""

    out_of_descriptors = 0

    def accept(self) -> tuple[socket.socket, object]:
        """A connection, or what the system says when it has no descriptor for one."""
        if self.out_of_descriptors:
            self.out_of_descriptors -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


@asynccontextmanager
async def paced_listener(begun: list[int]) -> AsyncIterator[tuple[PacedListener, Listening]]:
    """A listener that is not open yet; each request that is served adds to `begun`."""

    async def hello(_request: web.Request) -> web.Response:
        begun.append(1)
        return web.Response(text="hello")

    app = web.Application()
    app.router.add_get("/", hello)
    runner = web.AppRunner(app)
    await runner.setup()
    with Listening() as listening:
        listening.bind(("127.0.0.1", 0))
        try:
            yield PacedListener(runner, listening, backlog=1000), listening
        finally:
            await runner.cleanup()


async def ask(address: tuple[str, int]) -> bytes:
    """One request on a connection of its own; all that comes back."""
    reader, writer = await asyncio.open_connection(*address)
    try:
        writer.write(GET)
        return await reader.read()
    finally:
        writer.close()


async def test_a_burst() -> None:
    """All are served; between any few of them the loop turns, so that streams go on."""
    begun: list[int] = []
    async with paced_listener(begun) as (site, listening):
        await site.start()
        loop = asyncio.get_running_loop()
        made = loop.connect_accepted_socket
        turns, begun_in_turn = [0], [0] * 10_000

        def tick() -> None:
            turns[0] += 1
            loop.call_soon(tick)

        async def counted(*given: object, **named: object) -> object:
            begun_in_turn[turns[0]] += 1
            return await made(*given, **named)  # type: ignore[arg-type]

        clients = [socket.create_connection(listening.getsockname()) for _ in range(200)]
        loop.connect_accepted_socket = counted  # type: ignore[assignment,method-assign]
        loop.call_soon(tick)
        try:
            for client in clients:
                client.sendall(GET)
            async with asyncio.timeout(10):
                while len(begun) < len(clients):
                    await asyncio.sleep(0)
        finally:
            del loop.connect_accepted_socket
            for client in clients:
                client.close()
        assert sum(begun_in_turn) == len(clients)
        assert max(begun_in_turn) <= ACCEPTS_PER_TURN
        await site.stop()


async def test_stopping_with_accepted_connections_that_are_not_started() -> None:
    """An accepted connection is served; a later one is refused."""
    begun: list[int] = []
    async with paced_listener(begun) as (site, listening):
        await site.start()
        address = listening.getsockname()
        with socket.create_connection(address) as client:
            client.setblocking(False)
            loop = asyncio.get_running_loop()
            await loop.sock_sendall(client, GET)
            site._accept()
            await site.stop()
            assert b"hello" in await loop.sock_recv(client, 4096)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


async def test_no_descriptor_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """It retries `accept()` after a pause, not in a busy loop."""
    monkeypatch.setattr(listener, "_PAUSE_SECONDS", 0.05)
    async with paced_listener([]) as (site, listening):
        listening.out_of_descriptors = 2
        await site.start()
        async with asyncio.timeout(5):
            assert b"hello" in await ask(listening.getsockname())
        assert listening.out_of_descriptors == 0
        await site.stop()


async def test_stopping_while_no_descriptor_is_left() -> None:
    """Nobody is taken in after it."""
    async with paced_listener([]) as (site, listening):
        listening.out_of_descriptors = 1
        await site.start()
        with socket.create_connection(listening.getsockname()):
            async with asyncio.timeout(5):
                while listening.out_of_descriptors:
                    await asyncio.sleep(0)
            await site.stop()
            assert site._pause is not None
            assert site._pause.cancelled()
