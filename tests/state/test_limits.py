"""Limits, on a real server: agreement with the model, and races for the last unit."""

from __future__ import annotations

import asyncio
import datetime as dt
import uuid
from multiprocessing import get_context
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.key_settings import KeyDefaults
from proxy.state import script
from proxy.state.limits import NOTHING, KeyLedger, Limit, Limits, Usage
from proxy.state.store import key_of
from tests.fixtures.stores import StoreServer
from tests.state.conftest import connected
from tests.state.model import MINUTE, Model, period_of
from tests.state.race import race

START = 1_798_761_600.0
"""2027-01-01T00:00:00Z."""
LEASE = 10.0

_STEPS = st.lists(
    st.tuples(
        st.sampled_from(["reserve", "settle", "settle", "again"]),
        st.integers(0, 5),
        st.integers(0, 2000),
        st.integers(0, 500_000_000),
        st.sampled_from([0.0, 0.001, 1.0, 7.3, 30.0, 61.0, 40_000.0]),
    ),
    min_size=1,
    max_size=25,
)


class Clock:
    def __init__(self, now: float = START) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limits=st.builds(
        Limits,
        requests_per_minute=st.sampled_from([0, 1, 7, 60]),
        tokens_per_minute=st.sampled_from([0, 1000, 90_001]),
        max_streams=st.sampled_from([0, 1, 3]),
        budget_usd=st.sampled_from([0.0, 0.9]),
        budget_period=st.sampled_from(["day", "month"]),
    ),
    start=st.integers(0, 4_000_000_000),
    steps=_STEPS,
)
def test_the_scripts_agree_with_the_model(
    server: StoreServer,
    limits: Limits,
    start: int,
    steps: list[tuple[str, int, int, int, float]],
) -> None:
    """Whatever happens in whatever order, server and model let in, hold and charge the same."""
    asyncio.run(_agree(server.url, limits, start, steps))


async def _agree(
    url: str, limits: Limits, start: int, steps: list[tuple[str, int, int, int, float]]
) -> None:
    clock = Clock(start)
    model = Model(
        *(limits.requests_per_minute, limits.tokens_per_minute, limits.max_streams),
        *(round(limits.budget_usd * 1e9), limits.period, round(LEASE * 1e6)),
    )
    async with connected(url) as store:
        ledger = KeyLedger(store, uuid.uuid4().hex, limits, clock, LEASE)
        for what, id_, tokens, money, passes in steps:
            clock.now += passes
            now, reservation = round(clock.now * 1e6), f"r{id_}"
            usage = Usage(1, tokens, money / 1e9)
            if what == "settle":
                assert await ledger.settle(reservation, usage) == model.settle(
                    now, reservation, 1, tokens, money
                )
                continue
            verdict = await ledger.reserve(reservation, usage)
            assert (verdict.limit or "") == model.reserve(now, reservation, tokens, money)
            figures = verdict.figures
            assert (figures.requests_left, figures.tokens_left) == model.left()
            assert figures.streams == len(model.held)
            assert figures.held_usd == pytest.approx(model.money_held / 1e9)
            assert figures.spent_usd == pytest.approx(model.spent / 1e9)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    gaps=st.lists(st.sampled_from([0.0, 0.01, 0.5, 3.0, 59.9, 60.0]), min_size=1, max_size=40),
    limit=st.sampled_from([1, 3, 10]),
)
def test_no_boundary_doubles_a_burst(server: StoreServer, gaps: list[float], limit: int) -> None:
    """In no stretch of time are more let in than the limit and what that time refills."""

    async def run() -> None:
        clock, let_in = Clock(), []
        async with connected(server.url) as store:
            ledger = KeyLedger(store, uuid.uuid4().hex, Limits(requests_per_minute=limit), clock)
            for gap in gaps:
                clock.now += gap
                asked = [await ledger.reserve(uuid.uuid4().hex, Usage()) for _ in range(limit + 1)]
                let_in += [clock.now for verdict in asked if verdict.limit is None]
        for i, first in enumerate(let_in):
            for count, last in enumerate(let_in[i:], 1):
                assert count <= limit + (last - first) * limit / 60 + 1e-6

    asyncio.run(run())


@pytest.mark.parametrize(
    ("limits", "usage", "limit", "let_in"),
    [
        (Limits(requests_per_minute=1), Usage(), Limit.REQUESTS, 1),
        (Limits(max_streams=1), Usage(), Limit.STREAMS, 1),
        (Limits(max_streams=7), Usage(), Limit.STREAMS, 7),
        (Limits(tokens_per_minute=1000), Usage(1, 1000), Limit.TOKENS, 1),
        (Limits(budget_usd=1.0), Usage(1, 0, 1.0), Limit.BUDGET, 1),
    ],
)
async def test_500_race_for_the_last_unit(
    server: StoreServer, name: str, limits: Limits, usage: Usage, limit: Limit, let_in: int
) -> None:
    """Exactly as many get through as there is room for, all others hear which limit it was."""
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, limits)
        verdicts = await asyncio.gather(
            *(ledger.reserve(uuid.uuid4().hex, usage) for _ in range(500))
        )
    assert sum(verdict.limit is None for verdict in verdicts) == let_in
    assert {verdict.limit for verdict in verdicts} == {None, limit}


def test_workers_race_for_the_last_unit(server: StoreServer, name: str) -> None:
    """Four processes, one limit: it is the store that decides."""
    with get_context("spawn").Pool(4) as pool:
        let_in = pool.starmap(race, [(server.url, name, 125)] * 4)
        # They end by themselves: a process that measures its coverage may never end after SIGTERM,
        # which the pool sends otherwise.
        pool.close()
        pool.join()
    assert sum(let_in) == 3


async def test_a_reservation_of_a_dead_worker_ends_by_itself(
    server: StoreServer, name: str
) -> None:
    """Its stream and its money are free again, and usage shows it without being asked to clean."""
    clock = Clock()
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(max_streams=1, budget_usd=1.0), clock, LEASE)
        await ledger.reserve("dead", Usage(1, 0, 0.9))
        assert (await ledger.reserve("next", Usage(1, 0, 0.9))).limit is not None
        clock.now += LEASE
        assert (await ledger.figures()).streams == 0
        verdict = await ledger.reserve("next", Usage(1, 0, 0.9))
    assert verdict.limit is None
    assert (verdict.figures.streams, verdict.figures.held_usd) == (1, 0.9)


async def test_a_renewed_lease_goes_on(server: StoreServer, name: str) -> None:
    """As long as its worker lives, a stream counts."""
    clock = Clock()
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(max_streams=1), clock, LEASE)
        await ledger.reserve("long", Usage())
        for _ in range(5):
            clock.now += LEASE * 0.9
            assert await ledger.renew([("long", Usage())]) == 1
        assert (await ledger.reserve("next", Usage())).limit is Limit.STREAMS


@pytest.mark.parametrize("period", ["day", "month"])
async def test_a_store_that_was_restarted_empty_hears_of_it_again(
    server: StoreServer, name: str, period: str
) -> None:
    """Streams that run are counted again with the next renewal, and settled once."""
    clock = Clock()
    async with connected(server.url) as store:
        limits = Limits(max_streams=1, tokens_per_minute=1000, budget_usd=1.0, budget_period=period)
        ledger = KeyLedger(store, name, limits, clock)
        await ledger.renew([("running", Usage(1, 500, 0.4))])
        figures = await ledger.figures()
        assert (figures.streams, figures.held_usd) == (1, 0.4)
        await ledger.settle("running", Usage(1, 100, 0.1))
        await ledger.renew([("running", Usage(1, 500, 0.4))])
        figures = await ledger.figures()
    assert (figures.streams, figures.held_usd, figures.spent_usd) == (0, 0.0, 0.1)
    assert figures.tokens_left == 900


async def test_an_upstream_that_was_never_called_costs_nothing(
    server: StoreServer, name: str
) -> None:
    """All that was reserved goes back."""
    async with connected(server.url) as store:
        limits = Limits(2, 1000, 2, 1.0)
        ledger = KeyLedger(store, name, limits, Clock())
        await ledger.reserve("r", Usage(1, 900, 0.9))
        await ledger.settle("r", NOTHING)
        figures = await ledger.figures()
    assert (figures.requests_left, figures.tokens_left, figures.streams) == (2, 1000, 0)
    assert (figures.spent_usd, figures.held_usd) == (0.0, 0.0)


async def test_a_call_asked_again_takes_nothing_more(server: StoreServer, name: str) -> None:
    """An answer that was lost on its way costs a key nothing, in whatever order it is repeated."""
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(requests_per_minute=3, budget_usd=1.0), Clock())
        for _ in range(2):
            verdict = await ledger.reserve("r", Usage(1, 0, 0.5))
            assert verdict.figures.requests_left == 2
        assert [await ledger.settle("r", Usage(1, 0, 0.3)) for _ in range(3)] == [1, 0, 0]
        late = await ledger.reserve("r", Usage(1, 0, 0.5))
    assert (late.figures.spent_usd, late.figures.held_usd) == (0.3, 0.0)


async def test_a_period_of_the_calendar(server: StoreServer, name: str) -> None:
    """A spent budget says when it is back, and is whole again at that moment in UTC."""
    clock = Clock(START + MINUTE / 1e6)
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(budget_usd=1.0, budget_period="day"), clock)
        await ledger.reserve("a", Usage(1, 0, 0.5))
        await ledger.settle("a", Usage(1, 0, 1.5))
        refused = await ledger.reserve("b", Usage(1, 0, 0.5))
        assert (refused.limit, refused.wait) == (Limit.BUDGET, 86_340.0)
        clock.now += refused.wait
        assert (await ledger.reserve("b", Usage(1, 0, 0.5))).limit is None


async def test_the_servers_clock(server: StoreServer, name: str) -> None:
    """Workers of several machines agree by it, to the microsecond."""
    async with connected(server.url) as store:
        times = []
        for _ in range(2):
            [[seconds, microseconds]] = await store.pipeline([("TIME",)], 5.0)
            times.append(int(seconds) * 1_000_000 + int(microseconds))
            keys = [key_of(name, part) for part in ("state", "leases")]
            times.append((await store.run(script.load("usage"), keys, ("", 0, 0, "")))[3])
    assert times == sorted(times)


async def test_nothing_of_a_key_is_kept_for_ever(server: StoreServer, name: str) -> None:
    """Keys that are used no more leave nothing behind, though their last worker died."""
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(requests_per_minute=3, budget_usd=1.0))
        for reservation in ("ends", "dies"):
            await ledger.reserve(reservation, Usage())
        await ledger.settle("ends", Usage())
        keys = [key_of(name, part) for part in ("state", "leases", "held", "settled")]
        ttls = await store.pipeline([("PTTL", key) for key in keys], 5.0)
    assert all(ttl > 0 for ttl in ttls), ttls


DATES = [
    *(dt.datetime(2028, month, 1, tzinfo=dt.UTC) for month in range(1, 13)),
    dt.datetime(1970, 1, 1, tzinfo=dt.UTC),
    dt.datetime(2000, 2, 29, 12, tzinfo=dt.UTC),
    dt.datetime(2027, 2, 28, 23, 59, 59, tzinfo=dt.UTC),
    dt.datetime(2028, 2, 29, 23, 59, 59, tzinfo=dt.UTC),
    dt.datetime(2028, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
    dt.datetime(2100, 2, 28, 1, tzinfo=dt.UTC),
    dt.datetime(2100, 3, 31, 1, tzinfo=dt.UTC),
]
"""Each month's beginning, and where calendars go wrong: ends of months, leap years, 2100."""


@pytest.mark.parametrize("kind", ["day", "month"])
async def test_every_period_ends_when_the_calendar_says(
    server: StoreServer, name: str, kind: Any
) -> None:
    """What is spent counts until that second and is forgotten with it."""
    limits = Limits(budget_usd=1.0, budget_period=kind)
    async with connected(server.url) as store:
        for date in DATES:
            clock = Clock(date.timestamp())
            ledger = KeyLedger(store, f"{name}{date:%Y%m%d}", limits, clock)
            await ledger.settle("r", Usage(1, 0, 0.1))
            ends = period_of(kind, round(clock.now * 1e6))[1] / 1e6
            figures = await ledger.figures()
            assert (figures.spent_usd, figures.period_ends_in) == (0.1, ends - clock.now), date
            clock.now = ends - 0.5
            assert (await ledger.figures()).spent_usd == 0.1, date
            clock.now = ends
            assert (await ledger.figures()).spent_usd == 0.0, date


async def test_a_request_that_runs_into_the_next_period(server: StoreServer, name: str) -> None:
    """It was asked for in the old one: the new budget is whole, and nothing of it is held."""
    clock = Clock(START - 1.0)
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(budget_usd=1.0, budget_period="month"), clock)
        await ledger.reserve("runs over", Usage(1, 0, 0.5))
        await ledger.reserve("ends later", Usage(1, 0, 0.1))
        clock.now += 2.0
        await ledger.settle("runs over", Usage(1, 0, 0.4))
        figures = await ledger.figures()
        assert (figures.spent_usd, figures.held_usd) == (0.0, 0.0)
        await ledger.reserve("new", Usage(1, 0, 0.3))
        await ledger.settle("ends later", Usage(1, 0, 0.1))
        figures = await ledger.figures()
    assert (figures.spent_usd, figures.held_usd) == (0.0, 0.3)


async def test_limits_that_a_key_gets_while_it_is_used(server: StoreServer, name: str) -> None:
    """What it did while it had none is not held against it, and counts as no debt."""
    clock = Clock()
    async with connected(server.url) as store:
        free = KeyLedger(store, name, Limits(max_streams=9), clock)
        for n in range(3):
            await free.reserve(f"{n}", Usage(1, 500))
            await free.settle(f"{n}", Usage(1, 500))
        limited = KeyLedger(
            store, name, Limits(requests_per_minute=1, tokens_per_minute=100), clock
        )
        verdict = await limited.reserve("first", Usage(1, 100))
    assert verdict.limit is None
    assert (verdict.figures.requests_left, verdict.figures.tokens_left) == (0, 0)


async def test_the_wait_is_true(server: StoreServer, name: str) -> None:
    """Whoever waits so long is let in, whoever waits a little less is not."""
    clock = Clock()
    async with connected(server.url) as store:
        ledger = KeyLedger(store, name, Limits(requests_per_minute=7), clock)
        for n in range(7):
            assert (await ledger.reserve(f"{n}", Usage())).limit is None
        wait = (await ledger.reserve("late", Usage())).wait
        clock.now += wait - 0.001
        assert (await ledger.reserve("late", Usage())).limit is Limit.REQUESTS
        clock.now += 0.001
        assert (await ledger.reserve("late", Usage())).limit is None


def test_the_limits_of_a_configured_key() -> None:
    """None and 0 are the same here; a key without any needs no store."""
    key = KeyDefaults(requests_per_minute=5, budget_usd=2.0, budget_period="day")
    assert Limits.of(key) == Limits(5, 0, 0, 2.0, "day")
    assert (Limits.of(key).period, Limits.of(key).any) == ("day", True)
    assert (Limits.of(KeyDefaults()).period, Limits.of(KeyDefaults()).any) == ("", False)
