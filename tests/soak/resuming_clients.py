"""Readers that break at random.

`python -m tests.soak.resuming_clients URL UPSTREAM SECONDS STREAMS RATE`: a program of its own, so
that what it needs is not taken for the gateway's. Each reader holds one resumable stream after the
other, loses its connection now and then, and goes on by its cursor. It fails where a stream is not,
to the byte of its text, what the upstream says to the same question.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import aiohttp
import uvloop

from proxy.relay.event_cutter import EventCutter

CHAT = "/v1/chat/completions"
TOKENS = 60
QUESTIONS = 20
"""So many different answers; every reader asks for one of them."""
_SEED = 13
_READS = (4.0, 40.0)
_AWAY = (0.0, 3.0)
_STARTS_SECONDS = 10.0
_TRIES = 40


def body_of(number: int, rate: float) -> dict[str, Any]:
    """The question, answered at so many tokens a second; 0: at once."""
    model = f"demo;seed={number % QUESTIONS};tokens={TOKENS};rate={rate:g};ttft=0"
    return {"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}


def text_of(events: list[bytes]) -> str:
    """What the answer says."""
    parts = []
    for event in events:
        data = event.partition(b"data: ")[2].strip()
        if data.startswith(b"{"):
            choices = json.loads(data)["choices"]
            parts += [choice["delta"].get("content") or "" for choice in choices]
    return "".join(parts)


@dataclass
class ResumingClients:
    """All readers, and what they saw."""

    http: aiohttp.ClientSession
    url: str
    until: float
    rate: float
    texts: list[str]
    dice: random.Random = field(default_factory=lambda: random.Random(_SEED))
    seen: Counter[str] = field(default_factory=Counter)

    async def stay(self, number: int) -> None:
        """Read one stream after the other until the time is up."""
        await asyncio.sleep(self.dice.uniform(0, _STARTS_SECONDS))
        while time.monotonic() < self.until:
            events = await self.read_one(number)
            whole = events[-1] == b"data: [DONE]\n\n"
            assert whole, events[-3:]
            assert text_of(events) == self.texts[number % QUESTIONS], "lost or twice"
            self.seen["streams"] += 1
            self.seen["events"] += len(events)

    async def read_one(self, number: int) -> list[bytes]:
        """A whole stream, through as many connections as it takes."""
        events: list[bytes] = []
        headers = {"Sluice-Resumable": "true"}
        async with self.http.post(
            self.url + CHAT, json=body_of(number, self.rate), headers=headers
        ) as answer:
            assert answer.status == 200, (answer.status, await answer.text())
            address = f"{self.url}/v1/streams/{answer.headers['Sluice-Stream-Id']}"
            ended = await self.read_some(answer, events)
        while not ended:
            await asyncio.sleep(self.dice.uniform(*_AWAY))
            ended = await self.go_on(address, events)
        return events

    async def go_on(self, address: str, events: list[bytes]) -> bool:
        """One connection more; whether the stream has ended."""
        for _ in range(_TRIES):
            async with self.http.get(f"{address}?after={len(events)}") as answer:
                self.seen[f"resumed {answer.status}"] += 1
                if answer.status == 204:
                    return True
                if answer.status == 200:
                    return await self.read_some(answer, events)
                assert answer.status == 503, (answer.status, await answer.text())
            await asyncio.sleep(0.5)
        raise AssertionError("never let in again")

    async def read_some(self, answer: aiohttp.ClientResponse, events: list[bytes]) -> bool:
        """Read until the connection is broken off, in the middle of whatever has come."""
        cutter = EventCutter()
        with contextlib.suppress(TimeoutError, aiohttp.ClientPayloadError):
            async with asyncio.timeout(self.dice.uniform(*_READS)):
                while part := await answer.content.readany():
                    events += cutter.feed(part)
                return True
        self.seen["broken off"] += 1
        answer.close()
        return False


async def texts_of(http: aiohttp.ClientSession, upstream: str) -> list[str]:
    """What the upstream itself says to every question."""
    texts = []
    for number in range(QUESTIONS):
        async with http.post(upstream + CHAT, json=body_of(number, 0)) as answer:
            texts.append(text_of(EventCutter().feed(await answer.read())))
    return texts


async def main(url: str, upstream: str, seconds: float, streams: int, rate: float) -> None:
    """Have them all read, and say what they saw."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as http:
        texts = await texts_of(http, upstream)
        clients = ResumingClients(http, url, time.monotonic() + seconds, rate, texts)
        async with asyncio.TaskGroup() as group:
            for number in range(streams):
                group.create_task(clients.stay(number))
    print(json.dumps(clients.seen))  # noqa: T201 what it is asked for


if __name__ == "__main__":
    uvloop.run(
        main(sys.argv[1], sys.argv[2], float(sys.argv[3]), int(sys.argv[4]), float(sys.argv[5]))
    )
