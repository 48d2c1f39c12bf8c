"""A paced upstream in a thread of its own: the load generators bring their own loop or none."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest

from bench.load.target import Target
from bench.upstream.pace import Pace
from bench.upstream.server import Upstream


@pytest.fixture
def target() -> Iterator[Target]:
    """Where the upstream listens."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    async def begin() -> tuple[Upstream, int]:
        upstream = Upstream(Pace(100, 10, 0))
        return upstream, await upstream.listen("127.0.0.1", 0)

    upstream, port = asyncio.run_coroutine_threadsafe(begin(), loop).result(5)
    yield Target("127.0.0.1", port)
    asyncio.run_coroutine_threadsafe(upstream.close(), loop).result(5)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)
    loop.close()


@pytest.fixture
def nobody() -> Target:
    """An address where nobody listens."""
    return Target("127.0.0.1", 1)
