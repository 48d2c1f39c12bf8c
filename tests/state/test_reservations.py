"""A worker's reservations, from the first request to the last."""

from __future__ import annotations

import asyncio

import pytest

from proxy.state.error_map import StoreUnavailable
from proxy.state.limits import NOTHING, KeyLedger, Limit, Limits, Usage
from proxy.state.reservations import Reservations
from proxy.state.store import Store
from tests.fixtures.stores import StoreServer
from tests.state.conftest import connected


async def streams_become(ledger: KeyLedger, number: int) -> None:
    async with asyncio.timeout(20):
        while True:
            try:
                if (await ledger.figures()).streams == number:
                    return
            except StoreUnavailable:
                pass
            await asyncio.sleep(0.02)


async def test_a_request_from_its_reservation_to_its_end(server: StoreServer, name: str) -> None:
    """It is held, then settled by what was used; a second end changes nothing."""
    async with connected(server.url) as store, Reservations() as all_:
        ledger = KeyLedger(store, name, Limits(max_streams=1, budget_usd=1.0))
        reservation, verdict = await all_.reserve(ledger, Usage(1, 0, 0.5))
        assert reservation is not None
        assert (verdict.limit, all_.held) == (None, 1)
        refused, verdict = await all_.reserve(ledger, Usage(1, 0, 0.5))
        assert (refused, verdict.limit) == (None, Limit.STREAMS)
        reservation.settle(Usage(1, 0, 0.25))
        reservation.settle(Usage(1, 0, 0.75))
        await streams_become(ledger, 0)
        assert ((await ledger.figures()).spent_usd, all_.held) == (0.25, 0)


async def test_a_long_stream_keeps_its_lease(server: StoreServer, name: str) -> None:
    """Longer than a lease lasts, since its worker lives; then the worker dies."""
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(max_streams=1), lease_seconds=1.5)
        async with Reservations(renew_seconds=0.05) as all_:
            await all_.reserve(ledger, Usage())
            await asyncio.sleep(2.5)
            assert (await ledger.figures()).streams == 1
        await streams_become(ledger, 0)


async def test_a_client_that_leaves_while_it_reserves(server: StoreServer, name: str) -> None:
    """What was taken for it goes back, whichever comes first."""
    async with connected(server.url) as store, Reservations() as all_:
        ledger = KeyLedger(store, name, Limits(requests_per_minute=1000, max_streams=100))
        tasks = [asyncio.create_task(all_.reserve(ledger, Usage())) for _ in range(20)]
        for task in tasks:
            await asyncio.sleep(0)
            task.cancel()
        done = await asyncio.gather(*tasks, return_exceptions=True)
        for reservation in done:
            if isinstance(reservation, tuple) and reservation[0] is not None:
                reservation[0].settle(NOTHING)
        await streams_become(ledger, 0)
        assert all_.held == 0


async def test_the_store_goes_away_and_comes_back_empty(own_server: StoreServer, name: str) -> None:
    """What runs is counted again, what ended meanwhile is settled, each once."""
    async with connected(own_server.url, seconds=0.5) as store, Reservations(0.05) as all_:
        ledger = KeyLedger(store, name, Limits(max_streams=5, budget_usd=1.0))
        ended = (await all_.reserve(ledger, Usage(1, 0, 0.1)))[0]
        assert ended is not None
        await all_.reserve(ledger, Usage(1, 0, 0.2))
        await asyncio.to_thread(own_server.kill)
        await _away(store, ledger)
        ended.settle(Usage(1, 0, 0.05))
        all_.uncounted(ledger, Usage(1, 0, 0.3))
        await asyncio.to_thread(own_server.start)
        await streams_become(ledger, 2)
        async with asyncio.timeout(20):
            while (figures := await ledger.figures()).spent_usd == 0:
                await asyncio.sleep(0.02)
    assert (figures.spent_usd, figures.held_usd) == (0.05, 0.5)


async def _away(store: Store, ledger: KeyLedger) -> None:
    async with asyncio.timeout(20):
        while store.available:
            with pytest.raises(StoreUnavailable):
                await ledger.figures()
