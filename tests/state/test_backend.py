"""A Sentinel set and a cluster, real ones."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.limits import KeyLedger, Limits, Usage
from proxy.state.store import Store
from tests.fixtures.stores import cluster, sentinel_set
from tests.state.conftest import connected


async def _let_in(store: Store, clients: int = 100) -> int:
    ledger = KeyLedger(store, uuid.uuid4().hex, Limits(requests_per_minute=3, max_streams=5))
    asked = (ledger.reserve(uuid.uuid4().hex, Usage()) for _ in range(clients))
    return sum(verdict.limit is None for verdict in await asyncio.gather(*asked))


@pytest.mark.store
async def test_a_cluster() -> None:
    """Each key lies on one node, and all are exact there; a node that dies takes its keys along."""
    with cluster() as (url, nodes):
        async with connected(url) as store:
            assert [await _let_in(store) for _ in range(10)] == [3] * 10
            await asyncio.to_thread(nodes[2].kill)
            with pytest.raises(StoreUnavailable):
                for _ in range(100):
                    await _let_in(store, 1)


@pytest.mark.store
async def test_a_sentinel_set_whose_master_dies() -> None:
    """The replica is found as soon as the Sentinels have made it the master."""
    with sentinel_set() as sentinels:
        async with connected(sentinels.url, seconds=0.5) as store:
            assert await _let_in(store) == 3
            await asyncio.to_thread(sentinels.master.kill)
            with pytest.raises(StoreUnavailable):
                await _let_in(store)
            async with asyncio.timeout(40):
                while not store.available:
                    await asyncio.sleep(0.05)
            assert await _let_in(store) == 3
