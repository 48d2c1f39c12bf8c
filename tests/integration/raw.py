"""A raw HTTP client: requests are bytes, and each read of a response is visible."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import struct
from dataclasses import dataclass
from typing import Any, Self, cast
from urllib.parse import urlsplit

from multidict import CIMultiDict

DEADLINE = 20.0
Fields = list[tuple[str, str]]


class BrokenOff(Exception):
    """The connection closed before the end of the body; has the part that was received."""

    def __init__(self, body: bytes = b"") -> None:
        super().__init__(f"broken off after {len(body)} bytes")
        self.body = body


def code_of(error: dict[str, Any]) -> str:
    """Return Sluice's code of an error: `code` for OpenAI and Anthropic, a reason for Google."""
    details = error.get("details")
    return str(details[0]["reason"]).lower() if details else str(error["code"])


@dataclass
class Head:
    """Status line and header fields of a response."""

    version: str
    status: int
    reason: str
    headers: CIMultiDict[str]

    @classmethod
    def of(cls, raw: bytes) -> Head:
        """Parse a head."""
        first, *lines = raw.decode("latin-1").removesuffix("\r\n\r\n").split("\r\n")
        version, status, *reason = first.split(" ", 2)
        headers: CIMultiDict[str] = CIMultiDict()
        for line in lines:
            name, _, value = line.partition(":")
            headers.add(name, value.strip())
        return cls(version, int(status), reason[0] if reason else "", headers)


@dataclass
class Whole:
    """A response with its whole body."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        """The status code."""
        return self.head.status

    @property
    def headers(self) -> CIMultiDict[str]:
        """The header fields."""
        return self.head.headers

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


def request(
    method: str,
    target: str,
    body: bytes = b"",
    fields: Fields | None = None,
    *,
    host: str = "sluice.test",
    version: str = "1.1",
) -> bytes:
    """Return a request's bytes, with a length if it has a body or its method requires one."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in fields or []]
    if body or method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode("latin-1") + body


def post_json(target: str, document: Any, fields: Fields | None = None) -> bytes:
    """Return the bytes of a POST of a JSON document."""
    typed = [("Content-Type", "application/json"), *(fields or [])]
    return request("POST", target, json.dumps(document).encode(), typed)


def ask_chat(words: str = "", fields: Fields | None = None, **more: Any) -> bytes:
    """Return the bytes of a request for a chat stream, with instructions for the demo upstream."""
    document = {"model": f"demo;{words}", "stream": True, "messages": [], **more}
    return post_json("/v1/chat/completions", document, fields)


class Line:
    """A client's connection to a server."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._left: int | None = None
        """Bytes of a body with a length that have not been received."""
        self._chunked = False

    @classmethod
    async def open(cls, url: str, *, receive_buffer: int = 0) -> Self:
        """Connect to a URL's server; a small receive buffer stalls it sooner if reading is slow."""
        parts = urlsplit(url)
        opened = socket.socket()
        opened.setblocking(False)
        if receive_buffer:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(opened, (parts.hostname, parts.port))
        limit = receive_buffer or 2**20
        return cls(*await asyncio.open_connection(sock=opened, limit=limit))

    async def send(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        async with asyncio.timeout(DEADLINE):
            await self.writer.drain()

    async def ask(self, data: bytes, *, method: str = "POST") -> Head:
        """Send a request and read the head of its response."""
        await self.send(data)
        return await self.head(method=method)

    async def head(self, *, method: str = "POST") -> Head:
        """Read the next head; `part` or `body` read its body. Raises `BrokenOff`."""
        async with asyncio.timeout(DEADLINE):
            try:
                head = Head.of(await self.reader.readuntil(b"\r\n\r\n"))
            except (asyncio.IncompleteReadError, ConnectionError):
                raise BrokenOff from None
        self._chunked = head.headers.get("Transfer-Encoding", "").lower() == "chunked"
        length = head.headers.get("Content-Length")
        self._left = None if length is None else int(length)
        if method == "HEAD" or head.status in {204, 304} or head.status < 200:
            self._chunked, self._left = False, 0
        return head

    async def part(self) -> bytes:
        """Read the next chunk, or as much as one read returns; empty at a clean end.

        Raises `BrokenOff` if the connection ends first.
        """
        async with asyncio.timeout(DEADLINE):
            try:
                return await (self._chunk() if self._chunked else self._read())
            except (asyncio.IncompleteReadError, ConnectionError):
                raise BrokenOff from None

    async def body(self) -> bytes:
        """Read the rest of the body. Raises `BrokenOff` with what was received of it."""
        parts = []
        try:
            while part := await self.part():
                parts.append(part)
        except BrokenOff:
            raise BrokenOff(b"".join(parts)) from None
        return b"".join(parts)

    async def until(self, mark: bytes) -> bytes:
        """Read the body up to the part that completes a mark."""
        seen = b""
        while mark not in seen:
            part = await self.part()
            assert part, f"the body ended before {mark!r}: {seen[-200:]!r}"
            seen += part
        return seen

    async def whole(self, data: bytes, *, method: str = "POST") -> Whole:
        """Send a request and read its whole response."""
        head = await self.ask(data, method=method)
        return Whole(head, await self.body())

    async def ended(self) -> bool:
        """Return whether the server closes without sending another byte."""
        async with asyncio.timeout(DEADLINE):
            try:
                return not await self.reader.read(1)
            except ConnectionError:
                return True

    def stop_reading(self) -> None:
        """Stop reading, like a stalled client."""
        self._reading().pause_reading()

    def read_on(self, buffer: int = 2**20) -> None:
        """Read again, at full speed."""
        opened = self.writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.reader._limit = buffer  # type: ignore[attr-defined] # no public way to raise it
        self._reading().resume_reading()

    def _reading(self) -> asyncio.ReadTransport:
        return cast("asyncio.Transport", self.writer.transport)

    def leave(self) -> float:
        """Close at once, like a client that leaves; return the event loop's time."""
        self.writer.close()
        return asyncio.get_running_loop().time()

    def reset(self) -> None:
        """Close with a reset."""
        opened = self.writer.get_extra_info("socket")
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def _chunk(self) -> bytes:
        size = int((await self.reader.readuntil(b"\r\n")).partition(b";")[0], 16)
        return (await self.reader.readexactly(size + 2))[:-2]

    async def _read(self) -> bytes:
        if self._left == 0:
            return b""
        data = await self.reader.read(self._left if self._left is not None else 2**16)
        if self._left is not None:
            if not data:
                raise BrokenOff
            self._left -= len(data)
        return data


async def exchange(url: str, data: bytes, *, method: str = "POST") -> Whole:
    """Send a request on a new connection and read its whole response."""
    async with await Line.open(url) as line:
        return await line.whole(data, method=method)
