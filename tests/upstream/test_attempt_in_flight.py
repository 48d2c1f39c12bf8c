"""An attempt's hold on an upstream is counted and judged once, on every exit."""

from __future__ import annotations

import asyncio

import pytest

from proxy import errors
from proxy.upstream.attempt_in_flight import AttemptInFlight
from proxy.upstream.health import EjectionPolicy, HealthEvent, HealthState
from proxy.upstream.pool import Member, Pool
from proxy.upstream.targets import Target
from proxy.upstream.transport import Transport
from proxy.upstream.upstream_url import BaseUrl
from tests.upstream.kit import BUSY, HEAD, send, whole
from tests.upstream.peer import EVENTS, Peer, chunk, says, serves


def one(api_key: str = "") -> tuple[Pool, Member]:
    """Make a pool of one upstream that three failures take out."""
    target = Target("a", BaseUrl.of("https://h"), api_key)
    pool = Pool([target], EjectionPolicy(3, 1.0, 10.0), clock=lambda: 0.0, random=lambda: 0.0)
    return pool, pool.member("a")


@pytest.mark.parametrize(
    ("error", "failures"),
    [
        (errors.ConnectFailed, 1),
        (errors.ConnectTimeout, 1),
        (errors.UpstreamReset, 1),
        (errors.UpstreamInvalid, 1),
        (errors.UpstreamOverloaded, 1),
        (errors.FirstTokenTimeout, 1),
        (errors.BadRequest, 0),
        (errors.Overloaded, 0),
    ],
)
def test_only_the_upstreams_own_errors_count_against_it(
    error: type[errors.SluiceError], failures: int
) -> None:
    """A request that could not be sent is nothing to blame it for."""
    pool, member = one()
    with AttemptInFlight(pool, member) as in_flight:
        assert member.in_flight == 1
        in_flight.report_error(error("It happened."))
    assert (member.in_flight, member.health.failures_in_a_row) == (0, failures)


@pytest.mark.parametrize(
    ("status", "failures"),
    [(200, 0), (404, 0), (429, 0), (501, 0), (500, 3), (502, 3), (503, 3), (529, 3)],
)
def test_a_status_is_a_verdict(status: int, failures: int) -> None:
    """The server's own errors count, whatever they may mean for a retry; a limit does not."""
    pool, member = one()
    for _ in range(3):
        with AttemptInFlight(pool, member) as in_flight:
            in_flight.report_status(status, None)
    assert member.health.failures_in_a_row == failures
    assert member.health.state is (HealthState.EJECTED if failures else HealthState.UP)


@pytest.mark.parametrize(
    ("status", "key", "cools_down"),
    [
        (429, "own", True),
        (429, "", False),
        (503, "", True),
        (529, "", True),
        (502, "own", False),
        (200, "own", False),
    ],
)
def test_retry_after_cools_down_where_it_holds_for_everybody(
    status: int, key: str, cools_down: bool
) -> None:
    """A limit on one client's own key is no reason to keep the next client away."""
    pool, member = one(key)
    with AttemptInFlight(pool, member) as in_flight:
        in_flight.report_status(status, 30.0)
    assert (member.health.cooling_until > 0) is cools_down


@pytest.mark.parametrize("error", [asyncio.CancelledError, RuntimeError])
def test_an_exit_without_a_verdict_blames_nobody(error: type[BaseException]) -> None:
    """A client that left, or a defect: the hold is let go all the same."""
    pool, member = one()
    with pytest.raises(error), AttemptInFlight(pool, member):
        raise error
    assert (member.in_flight, member.health.failures_in_a_row) == (0, 0)


def test_a_probe_that_is_abandoned_stays_open() -> None:
    """The next request may try at once."""
    pool, member = one()
    for _ in range(3):
        pool.report(member, HealthEvent.FAILED)
    member.health = member.health.__class__(HealthState.EJECTED, ejected_until=-1.0)
    with pytest.raises(asyncio.CancelledError), AttemptInFlight(pool, member):
        assert member.health.state is HealthState.HALF_OPEN
        raise asyncio.CancelledError
    assert member.health.state is HealthState.EJECTED
    assert member.health.open_at() == 0.0


async def test_an_answer_that_is_handed_on_takes_the_hold_along(transport: Transport) -> None:
    """It counts as running until it has been read, closed or cut, whichever is first."""
    pool, member = one()
    running = EVENTS + chunk(b"data: 1\n\n")
    async with Peer(says(running)) as peer:
        response = await send(transport, peer)
        with AttemptInFlight(pool, member) as in_flight:
            in_flight.report_status(response.status, None)
            in_flight.hand_over(response)
        assert member.in_flight == 1
        response.close()
        response.close()
        assert (member.in_flight, member.health.failures_in_a_row) == (0, 0)


async def test_a_cut_after_the_handing_on_counts_against_the_upstream(
    transport: Transport,
) -> None:
    """A good beginning does not make up for it."""
    pool, member = one()
    async with Peer(says(HEAD + b"Content-Length: 9\r\n\r\nhello", then="close")) as peer:
        response = await send(transport, peer)
        with AttemptInFlight(pool, member) as in_flight:
            in_flight.report_status(response.status, None)
            in_flight.hand_over(response)
        with pytest.raises(errors.UpstreamCut):
            await whole(response)
    assert (member.in_flight, member.health.cuts_in_a_row) == (0, 1)


async def test_an_answer_that_has_ended_already_holds_nothing(transport: Transport) -> None:
    """A short answer may be over before it is handed on."""
    pool, member = one()
    async with Peer(serves(BUSY)) as peer:
        response = await send(transport, peer)
        await whole(response)
        with AttemptInFlight(pool, member) as in_flight:
            in_flight.report_status(response.status, None)
            in_flight.hand_over(response)
        assert member.in_flight == 0
