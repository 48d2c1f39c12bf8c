"""A short mixed load: every family, both ways of answering, and what can go wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from collections.abc import Iterator

KEYS = {"web-shop": "key-of-the-web-shop", "support": "key-of-support"}
MODELS = ("gpt-4o-mini", "claude-sonnet-4-5", "house-7b")
UNPRICED = "in-house-experiment"
ODD_MODEL = "odd-one"
"""Served by the upstream that sends an event nobody can read."""

_POLITE_SECONDS = 0.5
"""What a client waits that was told to come back later."""


@dataclass(frozen=True)
class Ask:
    """One request, and after how many chunks its client leaves (0: it stays)."""

    path: str
    body: dict[str, Any]
    demo: str = ""
    leaves_after: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def families(model: str, demo: str, *, stream: bool = True) -> Iterator[Ask]:
    """The same question in every family."""
    said = [{"role": "user", "content": "Why do rivers bend?"}]
    yield Ask("/v1/chat/completions", {"model": model, "messages": said, "stream": stream}, demo)
    yield Ask("/v1/responses", {"model": model, "input": "Why?", "stream": stream}, demo)
    yield Ask("/v1/completions", {"model": model, "prompt": "Why?", "stream": stream}, demo)
    anthropic = {"model": model, "messages": said, "max_tokens": 500, "stream": stream}
    yield Ask("/v1/messages", anthropic, demo)
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    parts = {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}
    yield Ask(f"/v1beta/models/{model}:{verb}", parts, demo)


def chat(model: str, demo: str = "", leaves_after: int = 0, key: str = "") -> Ask:
    """One streamed chat."""
    said = [{"role": "user", "content": "Why do rivers bend?"}]
    body = {"model": model, "messages": said, "stream": True}
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return Ask("/v1/chat/completions", body, demo, leaves_after, headers)


def mixture() -> list[Ask]:
    """One round of everything, for the most part well."""
    pace = "ttft=0.15;rate=60;tokens=25;jitter=0.5"
    asks = [*families(MODELS[0], pace), *families(MODELS[0], pace)]
    asks += families(MODELS[0], "ttft=0.05;tokens=10", stream=False)
    asks += [chat(model, f"{pace};reasoning=12") for model in MODELS for _ in range(4)]
    asks += [chat(MODELS[0], f"{pace};tools=1"), chat(MODELS[0], f"{pace};cached=40;prompt=90")]
    asks += [chat(UNPRICED, pace), chat(ODD_MODEL), chat(MODELS[2], f"{pace};no-usage")]
    asks += [chat(MODELS[2], fault) for fault in ("cut=8", "error=6", "hang=5", "hang-before")]
    asks += [chat(MODELS[2], fault) for fault in ("status=429", "status=500", "refuse")]
    asks += [chat(MODELS[1], f"{pace};tokens=80", leaves_after=3) for _ in range(3)]
    asks += [
        chat(MODELS[0], key="nobody's key"),
        Ask("/v1/embeddings", {"model": "e", "input": "a"}),
    ]
    return asks


@dataclass
class Load:
    """So many clients at once, who go on until it is time."""

    url: str
    seconds: float
    clients: int
    seed: int = 7
    statuses: list[int] = field(default_factory=list)

    async def run(self) -> None:
        """Ask until the time is over, and then wait for the last answers."""
        order = random.Random(self.seed)
        asks = mixture()
        order.shuffle(asks)
        line = itertools.cycle(asks)
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            end = time.monotonic() + self.seconds
            names = itertools.cycle(KEYS.values())
            await asyncio.gather(
                *(self._client(session, line, next(names), end) for _ in range(self.clients))
            )

    async def _client(
        self, session: aiohttp.ClientSession, line: Iterator[Ask], key: str, end: float
    ) -> None:
        while time.monotonic() < end:
            # What breaks on the way, breaks on purpose.
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                await self._ask(session, next(line), key)

    async def _ask(self, session: aiohttp.ClientSession, ask: Ask, key: str) -> None:
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "X-Demo": ask.demo,
            **ask.headers,
        }
        # `+` and `:` of a Gemini path stay as they are.
        async with session.post(
            self.url + ask.path, data=json.dumps(ask.body), headers=headers
        ) as a:
            self.statuses.append(a.status)
            if a.status == 503:
                await asyncio.sleep(_POLITE_SECONDS)
            for chunks in itertools.count(1):
                if not await a.content.readany():
                    return
                if chunks == ask.leaves_after:
                    a.close()
                    return
