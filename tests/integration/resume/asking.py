"""What the tests of resumable streams ask."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import aiohttp

from proxy.relay.event_cutter import EventCutter

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

CHAT = "/v1/chat/completions"
RESUMABLE = {"Sluice-Resumable": "true"}
BODY = {"stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def chat(model: str = "demo;tokens=20") -> dict[str, Any]:
    """The body of a streamed chat request."""
    return {"model": model, **BODY}


@dataclass(slots=True)
class Answer:
    """What came of one request."""

    status: int
    headers: dict[str, str]
    body: bytes = b""
    whole: bool = True
    """Whether the body ended cleanly."""

    @property
    def events(self) -> list[bytes]:
        """Its events, as a cursor counts them."""
        return EventCutter().feed(self.body)

    @property
    def stream(self) -> str:
        """The stream's id."""
        return self.headers["Sluice-Stream-Id"]


@asynccontextmanager
async def asked(
    url: str, method: str = "GET", body: Any = None, **headers: str
) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer whose body is still to come."""
    async with (
        aiohttp.ClientSession(auto_decompress=False) as http,
        http.request(method, url, json=body, headers=headers) as answer,
    ):
        yield answer


async def ask(url: str, method: str = "GET", body: Any = None, **headers: str) -> Answer:
    """The whole answer, or as much of it as came."""
    async with asked(url, method, body, **headers) as answer:
        read = Answer(answer.status, dict(answer.headers))
        try:
            while part := await answer.content.readany():
                read.body += part
        except aiohttp.ClientError:
            read.whole = False
        return read


async def begun(url: str, body: Any, events: int, path: str = CHAT, **headers: str) -> Answer:
    """A resumable stream whose client leaves after so many events."""
    async with asked(url + path, "POST", body, **RESUMABLE, **headers) as answer:
        read = Answer(answer.status, dict(answer.headers), whole=False)
        while len(read.events) < events:
            part = await answer.content.readany()
            assert part, "it ended before that"
            read.body += part
    return read


async def ended(url: str, stream: str, seconds: float = 20.0) -> dict[str, Any]:
    """The state of a stream once it has ended."""
    deadline = asyncio.get_running_loop().time() + seconds
    while True:
        async with asked(f"{url}/v1/streams/{stream}", Accept="application/json") as answer:
            state: dict[str, Any] = await answer.json()
        if state.get("status") == "ended":
            return state
        assert asyncio.get_running_loop().time() < deadline, state
        await asyncio.sleep(0.05)
