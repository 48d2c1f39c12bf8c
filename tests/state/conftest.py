from __future__ import annotations

import uuid
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest

from proxy.state.backend import backend_for
from proxy.state.store import LANES, Store
from proxy.store_address import parse
from tests.fixtures.stores import StoreServer, store_server

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator


@pytest.fixture(scope="session")
def server() -> Iterator[StoreServer]:
    """Share a server among tests that do not change its state; each uses its own keys."""
    with store_server() as started:
        yield started


@pytest.fixture
def own_server() -> Iterator[StoreServer]:
    """Run a server that the test may kill, freeze or fill."""
    with store_server() as started:
        yield started


@pytest.fixture
def name() -> str:
    return uuid.uuid4().hex


@asynccontextmanager
async def connected(url: str, seconds: float = 5.0) -> AsyncIterator[Store]:
    """Connect to a store, with a generous deadline because the machine may be busy."""
    async with Store(backend_for(parse(url), LANES), seconds) as store:
        assert await store.ready(20)
        yield store
