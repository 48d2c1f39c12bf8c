"""Again or not, and after how long."""

from __future__ import annotations

from dataclasses import replace

import pytest
from multidict import CIMultiDict

from proxy import errors
from proxy.upstream.retry import (
    MAX_TOKENS,
    MIN_TOKENS,
    REFILL_SECONDS,
    TOKENS_PER_REQUEST,
    Failure,
    RetryBudget,
    RetryContext,
    RetryPolicy,
    parse_retry_after,
    retry_delay,
)

POLICY = RetryPolicy(retries=2, on_500=False, max_retry_after=10.0)
NOON = 1_750_075_200.0  # 2025-06-16 12:00:00 UTC


def situation(
    attempts: int = 1,
    *,
    sibling: bool = False,
    in_budget: bool = True,
    committed: bool = False,
) -> RetryContext:
    """One attempt was made, and nothing speaks against another."""
    return RetryContext(attempts, sibling, in_budget, committed)


def failed(error: type[errors.SluiceError]) -> Failure:
    """An attempt that met an error."""
    return Failure(error=error("It happened."))


def wait(
    failure: Failure, at: RetryContext, policy: RetryPolicy = POLICY, drawn: float = 0.5
) -> float | None:
    """The verdict with a known draw."""
    return retry_delay(failure, at, policy, lambda: drawn)


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 529])
def test_a_passing_status_is_tried_again(status: int) -> None:
    """What another attempt may not meet again."""
    assert wait(Failure(status), situation()) is not None


@pytest.mark.parametrize("status", [200, 204, 307, 400, 401, 403, 404, 413, 422, 500, 501, 505])
def test_any_other_status_stands(status: int) -> None:
    """What another attempt would meet again, and every good answer."""
    assert wait(Failure(status), situation()) is None


def test_a_500_is_a_matter_of_taste() -> None:
    """The operator may hold it for passing; no other status changes with that."""
    policy = replace(POLICY, on_500=True)
    assert wait(Failure(500), situation(), policy) is not None
    assert wait(Failure(501), situation(), policy) is None


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (errors.ConnectFailed, True),
        (errors.ConnectTimeout, True),
        (errors.UpstreamReset, True),
        (errors.UpstreamOverloaded, True),
        (errors.UpstreamCut, False),
        (errors.UpstreamInvalid, False),
        (errors.FirstTokenTimeout, False),
        (errors.BadRequest, False),
        (errors.Overloaded, False),
    ],
)
def test_an_error_knows_whether_it_is_safe(error: type[errors.SluiceError], again: bool) -> None:
    """Only where the upstream cannot have begun to answer."""
    assert (wait(failed(error), situation()) is not None) is again


@pytest.mark.parametrize(
    ("at", "again"),
    [
        (situation(1), True),
        (situation(2), True),
        (situation(3), False),
        (situation(1, in_budget=False), False),
        (situation(1, committed=True), False),
        (situation(1, committed=True, sibling=True), False),
        (situation(3, sibling=True), False),
    ],
)
def test_the_situation_has_the_last_word(at: RetryContext, again: bool) -> None:
    """Attempts, budget and the commit bound every kind of failure."""
    assert (wait(Failure(503), at) is not None) is again


@pytest.mark.parametrize(
    ("attempts", "drawn", "seconds"),
    [(1, 0.0, 0.0), (1, 0.5, 0.125), (1, 0.99, 0.2475), (2, 0.5, 0.25), (3, 0.5, 0.5), (9, 0.5, 4)],
)
def test_the_backoff_grows_with_full_jitter(attempts: int, drawn: float, seconds: float) -> None:
    """Anything from nothing to a bound that doubles, up to eight seconds."""
    assert wait(Failure(503), situation(attempts), replace(POLICY, retries=10), drawn) == seconds


@pytest.mark.parametrize(
    ("pause", "sibling", "seconds"),
    [
        (None, False, 0.125),
        (0.0, False, 0.125),
        (3.0, False, 3.0),
        (10.0, False, 10.0),
        (10.5, False, None),
        (3.0, True, 0.0),
        (60.0, True, 0.0),
    ],
)
def test_a_pause_is_kept_up_to_the_cap(
    pause: float | None, sibling: bool, seconds: float | None
) -> None:
    """The same upstream is asked after the pause it wanted, or not at all; a sibling at once."""
    assert wait(Failure(429, retry_after=pause), situation(sibling=sibling)) == seconds


def test_a_failure_has_a_short_name() -> None:
    """For labels: few values, and the same for every upstream."""
    assert Failure(503).reason == "status_503"
    assert failed(errors.ConnectFailed).reason == "upstream_unreachable"


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Mon, 16 Jun 2025 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Monday, 16-Jun-25 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Mon Jun 16 12:00:30 2025"}, 30.0),
        ({"Retry-After": "Mon, 16 Jun 2025 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Mon, 16 Jun 99999 11:00:00 GMT"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"retry-after-ms": "x", "Retry-After": "1"}, 1.0),
    ],
)
def test_the_pause_in_seconds(fields: dict[str, str], seconds: float | None) -> None:
    """Seconds, HTTP dates in all three forms (RFC 9110, 5.6.7) and milliseconds."""
    assert parse_retry_after(CIMultiDict(fields), NOON) == seconds


def drain(budget: RetryBudget, now: float = 0.0) -> int:
    """Retry as often as it allows."""
    count = 0
    while budget.may_retry(now):
        budget.withdraw()
        count += 1
    return count


def test_the_first_requests_can_be_retried() -> None:
    """Without any traffic yet there is a small floor."""
    assert drain(RetryBudget()) == MIN_TOKENS


def test_retries_never_exceed_a_fifth_of_the_traffic() -> None:
    """Beyond the floor, every fifth request earns one."""
    budget = RetryBudget()
    drain(budget)
    for _ in range(200):
        budget.deposit()
    assert drain(budget) == 200 * TOKENS_PER_REQUEST


def test_quiet_hours_save_up_no_storm() -> None:
    """What can be saved is bounded."""
    budget = RetryBudget()
    for _ in range(10_000):
        budget.deposit()
    assert drain(budget) == MAX_TOKENS


def test_a_rare_request_can_be_retried_again_later() -> None:
    """Where there is hardly any traffic, time fills the bucket up to the floor."""
    budget = RetryBudget()
    drain(budget)
    assert drain(budget, REFILL_SECONDS / 2) == MIN_TOKENS / 2
    assert drain(budget, REFILL_SECONDS * 50) == MIN_TOKENS
