"""What it costs a token to be kept: CPU time of two workers, one of which keeps its streams.

Both at once, each with as many streams of as many tokens a second, and then the other way round:
whatever else the machine does weighs on both, and so does whatever tells one process from another.
Measured in the midst of the streams, so that what is done once for a stream weighs on neither.
`make resume-load`; the figure stands in docs/resuming.md.
"""

from __future__ import annotations

import asyncio
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

Pair = tuple["RunningGateway", "RunningGateway"]


@pytest.fixture
def workers() -> Iterator[Pair]:
    """Two on one store."""
    with gateways.upstream() as upstream, store_server() as store:
        settings: dict[str, Any] = {
            "store_url": store.url,
            "store_timeout_seconds": 2,
            "log_level": "error",
        }
        with (
            gateways.worker(upstream, **settings) as one,
            gateways.worker(upstream, **settings) as other,
        ):
            yield one, other


def cpu_microseconds(worker: RunningGateway) -> float:
    """What all threads of a process have used, in its own code and the kernel's."""
    threads = Path(f"/proc/{worker.process.popen.pid}/task").iterdir()
    return (
        sum(int((thread / "schedstat").read_text("ascii").split()[0]) for thread in threads) / 1000
    )


async def read_all(http: aiohttp.ClientSession, url: str, headers: Mapping[str, str]) -> None:
    """One stream, from before the measured time until after it."""
    tokens = round(RATE * (MEASURED_SECONDS + 2 * SETTLING_SECONDS))
    body = chat(f"demo;tokens={tokens};rate={RATE};ttft=0")
    async with http.post(url + CHAT, json=body, headers=headers) as answer:
        assert answer.status == 200
        assert ("Sluice-Stream-Id" in answer.headers) == bool(headers)
        async for _ in answer.content.iter_any():
            pass


async def per_token(plain: RunningGateway, kept: RunningGateway) -> tuple[float, float]:
    """Microseconds of CPU time of a token, in each of them."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector) as http, asyncio.TaskGroup() as group:
        for _ in range(STREAMS):
            group.create_task(read_all(http, plain.url, {}))
            group.create_task(read_all(http, kept.url, RESUMABLE))
        await asyncio.sleep(SETTLING_SECONDS)
        before = cpu_microseconds(plain), cpu_microseconds(kept)
        await asyncio.sleep(MEASURED_SECONDS)
        after = cpu_microseconds(plain), cpu_microseconds(kept)
    tokens = STREAMS * RATE * MEASURED_SECONDS
    return (after[0] - before[0]) / tokens, (after[1] - before[1]) / tokens


@pytest.mark.resume_load
@pytest.mark.timeout(300)
async def test_a_kept_token_costs_at_most_so_much_more(workers: Pair) -> None:
    """The median of the rounds."""
    one, other = workers
    ratios = []
    for _ in range(ROUNDS):
        first, second = await per_token(one, other), await per_token(other, one)
        plain, kept = first[0] + second[0], first[1] + second[1]
        ratios.append(kept / plain)
        print(f"\nplain {plain / 2:.1f} us, kept {kept / 2:.1f} us: {kept / plain:.2f}", end="")  # noqa: T201
    assert statistics.median(ratios) <= MOST
