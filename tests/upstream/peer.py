"""Scripted upstreams on loopback sockets: they say exactly what a test tells them to."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from types import TracebackType

DEADLINE = 20.0


class Connection:
    """The peer's side of one connection, in the words of a script."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.head = b""
        self.body = b""

    async def request(self) -> bytes:
        """Read one whole request; its head, with the body in `body`."""
        self.head = await self._reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in self.head.split(b"\r\n")[1:]:
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        self.body = await self._reader.readexactly(length)
        return self.head

    async def say(self, *parts: bytes) -> None:
        """Send each part by itself."""
        for part in parts:
            self._writer.write(part)
            await self._writer.drain()
            await asyncio.sleep(0)

    async def left(self) -> float:
        """Wait until the other side has gone; when that was, in seconds of the loop's clock."""
        with contextlib.suppress(OSError):
            while await self._reader.read(65536):
                pass
        return asyncio.get_running_loop().time()

    async def end(self, how: str) -> None:
        """`wait` for the other side to go, `close` in an orderly way, or `reset`."""
        if how == "wait":
            await self.left()
        elif how == "reset":
            self.reset()

    def reset(self) -> None:
        """Close with a reset."""
        opened = self._writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


class Peer:
    """A server that runs one script for each connection, the last one for all further ones."""

    def __init__(self, *scripts: Callable[[Connection], Awaitable[None]]) -> None:
        self._scripts = scripts
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self.heads: list[bytes] = []
        self.bodies: list[bytes] = []
        self.accepted = 0
        self.open = 0
        self.url = ""

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        script = self._scripts[min(self.accepted, len(self._scripts) - 1)]
        self.accepted += 1
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._run(script, reader, writer))
        self._tasks.add(task)

    async def _run(
        self,
        script: Callable[[Connection], Awaitable[None]],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        connection = _Recorded(self, reader, writer)
        try:
            await script(connection)
        except (OSError, asyncio.IncompleteReadError):
            pass  # The other side left in the middle, which is for the test to check.
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
            self.open -= 1
            self._changed.set()

    async def all_closed(self) -> None:
        """Wait until no connection is open; fails after the deadline."""
        async with asyncio.timeout(DEADLINE):
            while self.open:
                self._changed.clear()
                await self._changed.wait()


class _Recorded(Connection):
    def __init__(
        self, peer: Peer, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(reader, writer)
        self._peer = peer

    async def request(self) -> bytes:
        await super().request()
        self._peer.heads.append(self.head)
        self._peer.bodies.append(self.body)
        return self.head


def says(*parts: bytes, then: str = "wait") -> Callable[[Connection], Awaitable[None]]:
    """A script: read a request, send the parts; then wait for the other side, close or reset."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(*parts)
        await connection.end(then)

    return script


def serves(*answers: bytes) -> Callable[[Connection], Awaitable[None]]:
    """A script: one answer after the other on one connection, the last one again and again."""

    async def script(connection: Connection) -> None:
        count = 0
        while True:
            await connection.request()
            await connection.say(answers[min(count, len(answers) - 1)])
            count += 1

    return script


def plain(
    body: bytes = b"ok", status: str = "200 OK", fields: Mapping[str, str] | None = None
) -> bytes:
    """A whole answer with its length."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (fields or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    """Bytes as one chunk (RFC 9112, 7.1)."""
    return b"%x\r\n%s\r\n" % (len(data), data)
