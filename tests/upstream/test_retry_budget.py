"""Retries stay a small share of the traffic."""

from __future__ import annotations

from proxy.upstream.retry_budget import (
    MAX_TOKENS,
    MIN_TOKENS,
    REFILL_SECONDS,
    TOKENS_PER_REQUEST,
    RetryBudget,
)


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
    for _ in range(1_000_000):
        budget.deposit()
    assert drain(budget) == MAX_TOKENS


def test_a_rare_request_can_be_retried_again_later() -> None:
    """Where there is hardly any traffic, time fills the purse up to the floor."""
    budget = RetryBudget()
    drain(budget)
    assert drain(budget, REFILL_SECONDS / 2) == MIN_TOKENS / 2
    assert drain(budget, REFILL_SECONDS * 50) == MIN_TOKENS
