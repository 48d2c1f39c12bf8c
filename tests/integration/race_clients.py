"""Hundreds of HTTP clients that compete for what a key has left, and the result of each."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.integration.faults.gateways import eventually, fetch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.integration.faults.gateways import RunningGateway

CHAT = "/v1/chat/completions"
SETTLED_SECONDS = 30.0


@dataclass(slots=True)
class Race:
    """One race: all clients send at once; admitted streams run until all clients are answered."""

    gateways: Sequence[RunningGateway]
    key: str
    """The client key, and its name."""
    words: str
    """The instructions for the demo upstream."""
    statuses: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    """The `code` of each refusal."""
    tokens: int = 0
    """Usage of the admitted requests as the upstream states it, input and output together."""
    seconds: float = 0.0
    """Seconds until the last was answered."""
    _all_answered: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def winners(self) -> int:
        """The number of admitted requests."""
        return self.statuses[200]

    async def run(self, clients: int, *, to_the_end: bool) -> None:
        """Run so many clients, spread evenly; those admitted read to the end, or leave."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
            asking = [
                asyncio.create_task(self._ask(http, number, to_the_end=to_the_end))
                for number in range(clients)
            ]

            async def all_answered() -> bool:
                return self.statuses.total() == clients

            await eventually(all_answered, "somebody is not answered", seconds=150)
            self.seconds = loop.time() - began
            self._all_answered.set()
            await asyncio.gather(*asking)

    async def _ask(self, http: aiohttp.ClientSession, number: int, *, to_the_end: bool) -> None:
        gateway = self.gateways[number % len(self.gateways)]
        body = {
            "model": f"demo;{self.words}",
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": "Hello"}],
        }
        headers = {"Authorization": f"Bearer {self.key}"}
        async with http.post(gateway.url + CHAT, json=body, headers=headers) as answer:
            if answer.status != 200:
                refused = await answer.json()
                self.errors[refused["error"]["code"]] += 1
                self.statuses[answer.status] += 1
                return
            self.statuses[200] += 1
            if to_the_end:
                stream = await answer.read()
                self.tokens += _total_tokens(stream)
                return
            await answer.content.readuntil(b"\n\n")
            await self._all_answered.wait()
            answer.close()


def _total_tokens(stream: bytes) -> int:
    events = [event.removeprefix(b"data: ") for event in stream.split(b"\n\n") if event]
    assert events[-1] == b"[DONE]", stream[-300:]
    total: int = json.loads(events[-2])["usage"]["total_tokens"]
    return total


async def standing(gateway: RunningGateway, name: str) -> dict[str, Any]:
    """Return what `/status` states of a key: each limit with what is used and left."""
    status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
    usage: dict[str, Any] = status["keys"][name]
    return usage


async def settled(gateway: RunningGateway, name: str) -> dict[str, Any]:
    """Return the same once the store has no stream of the key left."""
    usage: dict[str, Any] = {}

    async def nothing_runs() -> bool:
        usage.update(await standing(gateway, name))
        return not usage["max_streams"]["used"]

    await eventually(nothing_runs, f"a stream is left over: {usage}", seconds=SETTLED_SECONDS)
    return usage
