"""Clients that note when each token came: `python -m …listeners HOST PORT NUMBER SECONDS WORDS`.

A program of its own, so that nothing but the gateway can make its tokens late.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from typing import cast

import uvloop

from tests.integration.faults.asking import CHAT

MODEL = "for-listeners"
"""What a gateway can send to an upstream that nothing else makes slow."""


class Listener(asyncio.Protocol):
    """One stream; `gaps` are pairs: when a token came, and how long after the one before."""

    def __init__(self, request: bytes, gaps: list[tuple[float, float]]) -> None:
        self._request = request
        self._gaps = gaps
        self._last: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask."""
        # uvloop's transports are no subclass of asyncio's.
        cast("asyncio.WriteTransport", transport).write(self._request)

    def data_received(self, data: bytes) -> None:
        """Note the time."""
        now = time.monotonic()
        if b"data: " not in data:
            return
        if self._last is not None:
            self._gaps.append((now, now - self._last))
        self._last = now


async def listen(host: str, port: int, count: int, seconds: float, words: str) -> None:
    """Listen for so long, then leave, and print every gap."""
    loop = asyncio.get_running_loop()
    gaps: list[tuple[float, float]] = []
    request = CHAT.of_model(MODEL).request(words)
    transports = []
    for _ in range(count):
        transport, _ = await loop.create_connection(lambda: Listener(request, gaps), host, port)
        transports.append(transport)
        # Spread over one gap, as streams that began at different times are.
        await asyncio.sleep(0.05 / count)
    await asyncio.sleep(seconds)
    for transport in transports:
        transport.abort()
    print(json.dumps(gaps))  # noqa: T201 its output


if __name__ == "__main__":
    host, port, count, seconds, words = sys.argv[1:]
    uvloop.run(listen(host, int(port), int(count), float(seconds), words))
