"""Hundreds of clients race for the last unit of a limit: exact to one, over several workers."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import StartWorker

if TYPE_CHECKING:
    from collections.abc import Iterator

CLIENTS = 500


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as one:
        yield one


@pytest.mark.parametrize("workers", [1, 4])
async def test_the_last_request(
    start_worker: StartWorker, store: StoreServer, workers: int
) -> None:
    """One of five hundred is let in, however many workers share the store."""
    key: Any = {"name": "one", "key": "sk-one", "requests_per_minute": 1}
    settings: Any = {"keys": (key,), "store_url": store.url, "store_timeout_seconds": 10}
    urls = [(await start_worker(**settings)).url for _ in range(workers)]

    async def ask(http: aiohttp.ClientSession, number: int) -> int:
        url = urls[number % workers] + "/v1/models"
        async with http.get(url, headers={"x-api-key": "sk-one"}) as answer:
            await answer.read()
            return answer.status

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        found = Counter(await asyncio.gather(*(ask(http, one) for one in range(CLIENTS))))
    assert found == {200: 1, 429: CLIENTS - 1}
