"""Appliances in processes of their own, to be killed, frozen and drained."""

from __future__ import annotations

import asyncio
import os
import signal
import time
import urllib.request
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp

from tests.integration.faults import gateways
from tests.integration.resume.asking import asked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.faults.gateways import RunningGateway, Upstream

END_WITHIN_SECONDS = 5.0
"""What is promised of a producer's death."""
_TICK_SECONDS = 0.1


@contextmanager
def machine(upstream: Upstream, store: str = "", **settings: Any) -> Iterator[RunningGateway]:
    """An appliance; without a store's URL it has one of its own."""
    if store:
        settings["store_url"] = store
    usual = {"workers": 1, "retries": 0, "log_format": "json", "store_timeout_seconds": 2}
    with gateways.appliance(upstream, **{**usual, **settings}) as running:
        yield running


def everything_of(of: RunningGateway) -> list[int]:
    """The process ids of an appliance: the supervisor, nginx, its workers, and the worker's."""
    pids, rest = [], [of.process.popen.pid]
    while rest:
        pids.append(pid := rest.pop())
        for children in Path(f"/proc/{pid}/task").glob("*/children"):
            rest += map(int, children.read_text("ascii").split())
    return pids


class Late:
    """How late this machine has been, all told: what is promised of Sluice is not its fault.

    Every process here waits for the same cores, so that what delays this one delays those.
    """

    def __init__(self) -> None:
        self.seconds = 0.0

    async def watch(self) -> None:
        """Sleep again and again, and see how much longer it took."""
        while True:
            began = time.monotonic()
            await asyncio.sleep(_TICK_SECONDS)
            self.seconds += time.monotonic() - began - _TICK_SECONDS


@asynccontextmanager
async def ended_in_time(*readers: Watched) -> AsyncIterator[None]:
    """In the block a producer dies; from its end on its readers have so long to hear of it."""
    late = Late()
    watching = asyncio.create_task(late.watch())
    try:
        yield
        died_at = time.monotonic()
        while not all(reader.ended_at for reader in readers):
            waited = time.monotonic() - died_at
            assert waited < END_WITHIN_SECONDS + late.seconds, f"nothing heard in {waited:.1f} s"
            await asyncio.sleep(_TICK_SECONDS / 10)
    finally:
        watching.cancel()


async def status(of: RunningGateway) -> dict[str, Any]:
    """What `/status` says."""
    return await asyncio.to_thread(gateways.fetch, f"{of.admin_url}/status")


async def signal_workers(of: RunningGateway, number: signal.Signals) -> None:
    """Send every worker a signal."""
    for worker in (await status(of))["workers"]:
        os.kill(worker["pid"], number)


async def ready(of: RunningGateway) -> None:
    """Wait until all its parts are there again."""

    async def is_ready() -> bool:
        document = await status(of)
        return all(worker["state"] == "ready" for worker in document["workers"])

    await gateways.eventually(is_ready, "it did not come back", seconds=30)


def metric(of: RunningGateway, name: str, labels: str = "") -> float:
    """The sum of a metric over all its samples whose labels hold these words."""
    with urllib.request.urlopen(f"{of.admin_url}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    samples = (line for line in lines if line.startswith(name) and labels in line)
    return sum(float(line.rpartition(" ")[2]) for line in samples)


class Watched:
    """A reader: what it has been sent so far, when it ended, and how."""

    def __init__(self) -> None:
        self.body = b""
        self.whole = True
        self.ended_at = 0.0
        self.begun = asyncio.Event()

    async def read(self, url: str, **headers: str) -> None:
        """Read to the end, whatever that is."""
        async with asked(url, **headers) as answer:
            assert answer.status == 200
            try:
                while part := await answer.content.readany():
                    self.body += part
                    self.begun.set()
            except (OSError, aiohttp.ClientError):
                self.whole = False
        self.ended_at = time.monotonic()


@asynccontextmanager
async def watched(*urls: str) -> AsyncIterator[list[Watched]]:
    """Readers of these addresses, all of which have been sent something; ended with the block."""
    readers = [Watched() for _ in urls]
    async with asyncio.TaskGroup() as group:
        for reader, url in zip(readers, urls, strict=True):
            group.create_task(reader.read(url))
        for reader in readers:
            async with asyncio.timeout(20):
                await reader.begun.wait()
        yield readers
