from __future__ import annotations

import asyncio

from proxy.state.ping import ping
from tests.fixtures.stores import StoreServer


async def test_a_store_that_answers(server: StoreServer) -> None:
    """PONG is a sign of life."""
    assert await ping(str(server.path), 5)


async def test_a_store_that_does_not(own_server: StoreServer) -> None:
    """Frozen or gone, it is a plain no, in time."""
    own_server.freeze()
    assert not await ping(str(own_server.path), 0.05)
    await asyncio.to_thread(own_server.kill)
    assert not await ping(str(own_server.path), 5)
