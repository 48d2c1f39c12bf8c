"""A short mixed load: clients of keys with and without limits, and readers who break off."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import random
import ssl
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import aiohttp

from tests.monitoring.asks import MODELS, Ask, chat, mixture
from tests.monitoring.clients import KEYS, LIMITED, READING
from tests.monitoring.readers import rounds

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

_POLITE_SECONDS = 0.5
"""What a client waits that was told to come back later."""
_READERS = 4


@dataclass
class Load:
    """So many clients at once, who go on until it is time."""

    urls: tuple[str, ...]
    """The public addresses of one appliance, plain and by TLS; clients take them in turn."""
    seconds: float
    clients: int
    outage: Callable[[], None]
    """Called in another thread half-way: takes the store away, and back."""
    seed: int = 7
    statuses: Counter[str] = field(default_factory=Counter)
    """How many answers began with each status."""
    reads: int = 0
    """Answers that were read from a log."""

    async def run(self) -> None:
        """Ask until the time is over, and then wait for the last answers."""
        order = random.Random(self.seed)
        asks = mixture()
        order.shuffle(asks)
        self._line, self._urls = itertools.cycle(asks), itertools.cycle(self.urls)
        self._end = time.monotonic() + self.seconds
        # Nobody signs the test's certificate.
        tls = ssl.create_default_context()
        tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
        connector = aiohttp.TCPConnector(limit=0, ssl=tls)
        timeout = aiohttp.ClientTimeout(total=20)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as self._http:
            names = itertools.islice(itertools.cycle(KEYS.values()), self.clients)
            await asyncio.gather(
                *(self._client(self._line, key) for key in names),
                *(
                    self._client(itertools.repeat(chat(MODELS[0], limited.demo)), limited.key)
                    for limited in LIMITED
                    for _ in range(limited.clients)
                ),
                *(self._reader() for _ in range(_READERS)),
                self._store_outage(),
            )

    async def _store_outage(self) -> None:
        await asyncio.sleep(self.seconds / 2)
        await asyncio.to_thread(self.outage)

    async def _client(self, line: Iterator[Ask], key: str) -> None:
        while time.monotonic() < self._end:
            # What breaks on the way, breaks on purpose.
            with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                async with self.asked(next(line), key) as answer:
                    if answer.status in {429, 503}:
                        await asyncio.sleep(_POLITE_SECONDS)

    async def _reader(self) -> None:
        while time.monotonic() < self._end:
            for way in rounds(self, f"key-of-{READING}"):
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    await way
            await asyncio.sleep(_POLITE_SECONDS)

    @contextlib.asynccontextmanager
    async def asked(self, ask: Ask, key: str) -> AsyncIterator[aiohttp.ClientResponse]:
        """The answer, which is read to its end, or to where the client leaves, on the way out."""
        headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "X-Demo": ask.demo,
            **ask.headers,
        }
        method = "GET" if ask.body is None else "POST"
        body = None if ask.body is None else json.dumps(ask.body)
        url = next(self._urls) + ask.path
        async with self._http.request(method, url, data=body, headers=headers) as answer:
            self.statuses[str(answer.status)] += 1
            self.reads += ask.body is None and answer.status == 200
            yield answer
            for chunks in itertools.count(1):
                if not await answer.content.readany():
                    return
                if chunks == ask.leaves_after:
                    answer.close()
                    return
