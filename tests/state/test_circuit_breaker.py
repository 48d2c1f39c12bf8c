"""When the store is asked, by a fake clock."""

from __future__ import annotations

import pytest

from proxy.state.circuit_breaker import BreakerState, CircuitBreaker


def test_a_few_failures_in_a_row_open_it() -> None:
    """One slow answer is no outage; three are."""
    breaker = CircuitBreaker()
    assert [breaker.failed(at, "timeout") for at in (1.0, 2.0, 3.0)] == [False, False, True]
    assert (breaker.state, breaker.reason, breaker.since) == (BreakerState.OPEN, "timeout", 3.0)
    assert not breaker.lets_through


def test_failures_of_one_moment_are_one() -> None:
    """All calls of a batch fail together, by one cause."""
    breaker = CircuitBreaker()
    assert not any(breaker.failed(1.0 + n / 1000, "timeout") for n in range(10))


def test_a_success_forgets_earlier_failures() -> None:
    """Only failures without an answer between them count."""
    breaker = CircuitBreaker()
    for at in range(10):
        breaker.failed(at, "timeout")
        breaker.failed(at + 0.5, "timeout")
        assert not breaker.succeeded(at + 0.6)
    assert breaker.lets_through


def test_where_it_is_hopeless_it_opens_at_once() -> None:
    """A refused connection is refused to everybody."""
    breaker = CircuitBreaker()
    assert breaker.failed(1.0, "unreachable", hopeless=True)
    assert not breaker.failed(1.1, "full", hopeless=True)
    assert breaker.reason == "full"


def test_an_answer_closes_it() -> None:
    """And says so once."""
    breaker = CircuitBreaker()
    breaker.failed(1.0, "full", hopeless=True)
    assert breaker.succeeded(2.0)
    assert not breaker.succeeded(3.0)
    assert (breaker.lets_through, breaker.reason) == (True, "")


def test_probes_come_less_and_less_often_but_within_a_second() -> None:
    """A store that is back is found soon, however long it was away."""
    breaker = CircuitBreaker()
    delays = [breaker.until_probe() for _ in range(40)]
    assert delays[:5] == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.0])
    assert max(delays) == 1.0
    breaker.succeeded(1.0)
    assert breaker.until_probe() == pytest.approx(0.1)
