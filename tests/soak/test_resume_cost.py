"""What it costs a token to be kept: CPU time of a worker alone, streams that are kept and others.

In turn, in the midst of streams of 50 tokens a second, so that what is done once for a stream and
what else the machine does weigh on neither. `make resume-load`; the figure stands in
docs/resuming.md.
"""

from __future__ import annotations

import asyncio
import os
import statistics
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.fixtures.stores import store_server
from tests.integration.faults import gateways
from tests.integration.resume.asking import CHAT, RESUMABLE, chat

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.integration.faults.gateways import RunningGateway

STREAMS = 50
RATE = 50
SETTLING_SECONDS = 1.5
MEASURED_SECONDS = 6.0
ROUNDS = 5
MOST = 1.30
"""The bound that was set."""


@pytest.fixture
def worker() -> Iterator[RunningGateway]:
    """One that a store is there for."""
    with (
        gateways.upstream() as upstream,
        store_server() as store,
        gateways.worker(
            upstream, store_url=store.url, store_timeout_seconds=2, log_level="error"
        ) as one,
    ):
        yield one


def cpu_seconds(pid: int) -> float:
    """What a process has used, in its own code and the kernel's."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def read_all(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> None:
    """One stream, from before the measured time until after it."""
    tokens = round(RATE * (MEASURED_SECONDS + 2 * SETTLING_SECONDS))
    body = chat(f"demo;tokens={tokens};rate={RATE};ttft=0")
    async with http.post(url + CHAT, json=body, headers=headers) as answer:
        assert answer.status == 200
        assert ("Sluice-Stream-Id" in answer.headers) == bool(headers)
        async for _ in answer.content.iter_any():
            pass


async def microseconds(worker: RunningGateway, headers: Mapping[str, str]) -> float:
    """CPU time of a token."""
    pid = worker.process.popen.pid
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(read_all(http, worker.url, headers))
        await asyncio.sleep(SETTLING_SECONDS)
        before = cpu_seconds(pid)
        await asyncio.sleep(MEASURED_SECONDS)
        used = cpu_seconds(pid) - before
    return used / (STREAMS * RATE * MEASURED_SECONDS) * 1e6


@pytest.mark.resume_load
@pytest.mark.timeout(300)
async def test_a_kept_token_costs_at_most_so_much_more(worker: RunningGateway) -> None:
    """The median of the rounds; each compares the two kinds side by side."""
    rounds = []
    for _ in range(ROUNDS):
        plain = await microseconds(worker, {})
        kept = await microseconds(worker, RESUMABLE)
        rounds.append((kept / plain, plain, kept))
    for ratio, plain, kept in rounds:
        print(f"\nplain {plain:.1f} us, kept {kept:.1f} us: {ratio:.2f}", end="")  # noqa: T201
    assert statistics.median(ratio for ratio, *_ in rounds) <= MOST
