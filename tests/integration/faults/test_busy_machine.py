"""A machine that is overloaded: its workers are late, and none is hidden or killed for it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.asking import CHAT
from tests.integration.raw import exchange

STREAMS = 200
SECONDS = 20.0
SPINNERS = 4
"""For each processor."""


@contextlib.contextmanager
def loaded() -> Iterator[None]:
    """Every processor has several programs that want all of it."""
    count = SPINNERS * (os.cpu_count() or 1)
    spinning = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


@pytest.mark.burst
async def test_a_busy_worker_keeps_its_streams() -> None:
    """Streams by the hundred and no processor to itself: all end well, nobody is restarted."""
    seen: list[str] = []
    with gateways.upstream() as upstream, gateways.appliance(upstream, workers=2) as gateway:
        before = await workers_of(gateway)

        async def look() -> None:
            while True:
                seen.extend(worker["state"] for worker in await workers_of(gateway))
                await asyncio.sleep(0.25)

        looking = asyncio.create_task(look())
        with loaded():
            asked = CHAT.request(f"rate=20;tokens={20 * SECONDS:.0f}")
            answers = await asyncio.gather(*(exchange(gateway.url, asked) for _ in range(STREAMS)))
        looking.cancel()
        after = await workers_of(gateway)
    assert all(b"[DONE]" in answer.body for answer in answers)
    assert [worker["pid"] for worker in after] == [worker["pid"] for worker in before]
    assert [worker["restarts"] for worker in after] == [0, 0]
    assert set(seen) == {"ready"}, f"{seen.count('silent')} of {len(seen)} looks found it silent"


async def workers_of(gateway: gateways.RunningGateway) -> list[dict[str, Any]]:
    """What `/status` says of them."""
    status = await asyncio.to_thread(gateways.fetch, f"{gateway.admin_url}/status")
    return list(status["workers"])
