"""Making a worker's parts and taking them down."""

from __future__ import annotations

import asyncio

from proxy.edge.open_worker_state import open_worker_state
from proxy.settings import Settings


async def test_the_workers_share_the_cap() -> None:
    """Their slots and their places in line add up to the settings."""
    settings = Settings(upstream_url="http://127.0.0.1:9", max_streams=10, queue_size=5)
    slots = 0
    for index in range(3):
        async with open_worker_state(settings, index=index, workers=3) as state:
            slots += state.admission.slots
    assert slots == 10


async def test_nothing_is_left_running() -> None:
    """After the last part is down no task of theirs is left."""
    before = asyncio.all_tasks()
    async with open_worker_state(Settings(upstream_url="http://127.0.0.1:9")):
        assert len(asyncio.all_tasks()) > len(before)
    assert asyncio.all_tasks() == before
