"""The worker's hot path in one process: `python -m bench.guard.hot_path TOKENS`.

What the upstream's connection delivers goes in, what the client's connection would send comes out;
the sockets are the only part that is missing. Everything that runs once per stream runs once here
as well, so that the difference between two numbers of tokens is the tokens' own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from typing import Any

from bench.upstream.events import Chunks
from proxy.http.parser_bypass import BypassHandler
from proxy.http.raw_body import RawBody
from proxy.meter.stream_reader import reader_for
from proxy.record import Family
from proxy.relay.callback_relay import CallbackRelay
from proxy.relay.client_writer import ClientWriter
from proxy.relay.event_stream import EventStream

_TOKEN_NANOSECONDS = 20_000_000
_MADE = 100
"""Events made before the first of them passes, so that their making is not counted."""


class Outlet(asyncio.Transport):
    """The client's connection, always ready: counts what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.taken = 0

    def write(self, data: Any) -> None:
        """Takes everything at once."""
        self.taken += len(data)

    def get_write_buffer_size(self) -> int:
        """Nothing ever waits."""
        return 0

    def is_closing(self) -> bool:
        """It stays."""
        return False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """There is no buffer."""

    async def drain(self) -> None:
        """There is nothing to wait for."""


def open_path(outlet: Outlet) -> tuple[Callable[[bytes], None], asyncio.Task[None]]:
    """What an upstream's connection calls with its bytes, and the task that ends with the body.

    The one place that knows how the worker is put together.
    """
    loop = asyncio.get_running_loop()
    handler = BypassHandler(loop)
    handler.held = []
    body = RawBody(handler, lambda _: None)
    client = ClientWriter(outlet, outlet, chunked=True, now=time.monotonic())
    stream = EventStream(Family.CHAT, reader_for(Family.CHAT), hides_usage=True)
    return body.data_received, asyncio.create_task(CallbackRelay(body, stream, client).run())


async def pass_through(tokens: int) -> int:
    """Sends so many tokens through; returns the bytes that came out.

    Raises RuntimeError when less came out than went in.
    """
    outlet = Outlet()
    receive, done = open_path(outlet)
    await asyncio.sleep(0)
    chunks = Chunks("guard")
    times = range(0, _MADE * _TOKEN_NANOSECONDS, _TOKEN_NANOSECONDS)
    made = [chunks.token(time, time) for time in times]
    receive(chunks.opening)
    sent = len(chunks.opening) + tokens * len(made[0])
    for index in range(tokens):
        receive(made[index % _MADE])
    if outlet.taken < sent:
        raise RuntimeError(f"{sent} bytes went in, {outlet.taken} came out")
    receive(chunks.closing(tokens, usage=False))
    await asyncio.wait_for(done, 5)
    return outlet.taken


if __name__ == "__main__":
    print(asyncio.run(pass_through(int(sys.argv[1]))))
