"""Retries stay a small share of the traffic."""

from __future__ import annotations

from proxy.upstream.budget import FLOOR, FLOOR_SECONDS, MOST, SHARE, Budget


def drain(budget: Budget, now: float = 0.0) -> int:
    """Retry as often as it allows."""
    count = 0
    while budget.may_retry(now):
        budget.spend()
        count += 1
    return count


def test_the_first_requests_can_be_retried() -> None:
    """Without any traffic yet there is a small floor."""
    assert drain(Budget()) == FLOOR


def test_retries_never_exceed_a_fifth_of_the_traffic() -> None:
    """Beyond the floor, every fifth request earns one."""
    budget = Budget()
    drain(budget)
    for _ in range(200):
        budget.request()
    assert drain(budget) == 200 * SHARE


def test_quiet_hours_save_up_no_storm() -> None:
    """What can be saved is bounded."""
    budget = Budget()
    for _ in range(1_000_000):
        budget.request()
    assert drain(budget) == MOST


def test_a_rare_request_can_be_retried_again_later() -> None:
    """Where there is hardly any traffic, time fills the purse up to the floor."""
    budget = Budget()
    drain(budget)
    assert drain(budget, FLOOR_SECONDS / 2) == FLOOR / 2
    assert drain(budget, FLOOR_SECONDS * 50) == FLOOR
