"""A client that hides nothing: it sends bytes, keeps every byte, and says how the line ended."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import Any

PATHS = {
    "chat": "/v1/chat/completions",
    "completions": "/v1/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/{model}:streamGenerateContent?alt=sse",
}
FAMILIES = tuple(PATHS)
_TIMEOUT_SECONDS = 5.0


@dataclass
class Heard:
    """What came back: the bytes, and whether the line was `closed`, `reset` or fell `silent`."""

    raw: bytes
    end: str
    reads: list[bytes] = field(default_factory=list)

    @property
    def status(self) -> int:
        """The status of the first head."""
        return int(self.raw.split(b" ", 2)[1])

    @property
    def head(self) -> bytes:
        """The first head, without its empty line."""
        return self.raw.partition(b"\r\n\r\n")[0]

    @property
    def payload(self) -> bytes:
        """Everything behind the head, framing included."""
        return self.raw.partition(b"\r\n\r\n")[2]

    @property
    def chunks(self) -> list[bytes]:
        """The body chunk by chunk."""
        return dechunked(self.payload)[0]

    @property
    def body(self) -> bytes:
        """The body without its framing."""
        if b"transfer-encoding: chunked" in self.head.lower():
            return b"".join(self.chunks)
        return self.payload

    @property
    def whole(self) -> bool:
        """Whether the last chunk has come."""
        return dechunked(self.payload)[1]

    def header(self, name: str) -> str | None:
        """Give the first header of that name."""
        for line in self.head.decode("latin-1").split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == name.lower():
                return value.strip()
        return None

    def json(self) -> Any:
        """Read the body as JSON."""
        return json.loads(self.body)


def dechunked(payload: bytes) -> tuple[list[bytes], bool]:
    """Undo the chunks; what is torn at the end is kept as a last chunk."""
    chunks: list[bytes] = []
    at = 0
    while (line_end := payload.find(b"\r\n", at)) >= 0:
        try:
            length = int(payload[at:line_end], 16)
        except ValueError:
            break
        if length == 0:
            return chunks, True
        start = line_end + 2
        chunks.append(payload[start : start + length])
        at = start + length + 2
    return ([*chunks, payload[at:]] if at < len(payload) else chunks), False


def body_for(family: str, words: str, **more: Any) -> tuple[str, bytes]:
    """Make the target and the body of a streamed request in a family."""
    model = f"demo;{words}" if words else "demo"
    messages = [{"role": "user", "content": "hello"}]
    known: dict[str, dict[str, Any]] = {
        "chat": {"messages": messages},
        "completions": {"prompt": "hello"},
        "responses": {"input": "hello"},
        "messages": {"messages": messages, "max_tokens": 10_000},
        "gemini": {"contents": [{"parts": [{"text": "hello"}]}]},
    }
    fields = known[family]
    if family != "gemini":
        fields = {"model": model, "stream": True, **fields}
    target = PATHS[family].format(model=model)
    return target, json.dumps({**fields, **more}).encode()


def request(
    target: str, body: bytes = b"", *, method: str = "POST", headers: dict[str, str] | None = None
) -> bytes:
    """Write a request that asks for the connection to be closed."""
    lines = [f"{method} {target} HTTP/1.1", "Host: demo", "Connection: close"]
    lines += (f"{name}: {value}" for name, value in (headers or {}).items())
    if not any(line.lower().startswith("transfer-encoding") for line in lines):
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join((*lines, "", "")).encode() + body


async def call(port: int, sent: bytes, *, silence: float = _TIMEOUT_SECONDS) -> Heard:
    """Send, and listen until the line ends or is silent for so many seconds."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=2**20)
    try:
        writer.write(sent)
        return await listen(reader, silence)
    finally:
        writer.close()


async def listen(reader: asyncio.StreamReader, silence: float = _TIMEOUT_SECONDS) -> Heard:
    """Keep every read until the line ends or is silent."""
    reads: list[bytes] = []
    while True:
        try:
            data = await asyncio.wait_for(reader.read(2**20), silence)
        except ConnectionResetError:
            return Heard(b"".join(reads), "reset", reads)
        except TimeoutError:
            return Heard(b"".join(reads), "silent", reads)
        if not data:
            return Heard(b"".join(reads), "closed", reads)
        reads.append(data)


async def stream(port: int, family: str, words: str = "", **more: Any) -> Heard:
    """Ask for a stream in a family and hear it out."""
    return await call(port, request(*body_for(family, words, **more)))
