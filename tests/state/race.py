"""What one of several processes does in a race; a module of its own, quick to import."""

from __future__ import annotations

import asyncio
import uuid

from proxy.state.backend import backend_for
from proxy.state.limits import KeyLedger, Limits, Usage
from proxy.state.store import LANES, Store
from proxy.store_address import parse


def race(url: str, name: str, clients: int) -> int:
    """How many of so many clients get one of three streams."""
    return asyncio.run(_race(url, name, clients))


async def _race(url: str, name: str, clients: int) -> int:
    async with Store(backend_for(parse(url), LANES), 10) as store:
        assert await store.ready(20)
        ledger = KeyLedger(store, name, Limits(max_streams=3), lease_seconds=60)
        asked = (ledger.reserve(uuid.uuid4().hex, Usage()) for _ in range(clients))
        verdicts = await asyncio.gather(*asked)
        return sum(verdict.limit is None for verdict in verdicts)
