"""The upstreams with their live state."""

from __future__ import annotations

from collections import Counter

import pytest

from proxy import errors
from proxy.settings import Settings
from proxy.upstream.health import EjectionPolicy, HealthEvent
from proxy.upstream.pool import Pool
from proxy.upstream.targets import targets_of
from tests.upstream.kit import Counts

NONE_TRIED: Counter[str] = Counter()


class Clock:
    """A clock that stands still until it is told otherwise."""

    now = 1000.0

    def __call__(self) -> float:
        """Read it."""
        return self.now


def pool(*upstreams: dict[str, object]) -> tuple[Pool, Clock, Counts]:
    """Make a pool of upstreams `a`, `b`, … that takes one out after two failures, for 10 s."""
    named = [
        {"name": n, "url": "https://h", **given} for n, given in zip("abc", upstreams, strict=False)
    ]
    clock, counts = Clock(), Counts()
    settings = Settings.model_validate({"upstreams": named})
    made = Pool(targets_of(settings), EjectionPolicy(2, 0.5, 10.0), clock=clock, random=lambda: 0.0)
    made.observer = counts
    return made, clock, counts


def test_a_model_that_nobody_serves_is_not_found() -> None:
    """The error names the model, within bounds."""
    made, _, _ = pool({"models": ["x"]})
    with pytest.raises(errors.NotFound, match="'y'"):
        made.next_for("y", NONE_TRIED)
    with pytest.raises(errors.NotFound) as raised:
        made.next_for("y" * 100_000, NONE_TRIED)
    assert len(raised.value.happened) < 300


def test_a_request_without_a_model_goes_to_the_first() -> None:
    """Whatever the upstreams serve, and however they are loaded."""
    made, _, _ = pool({"models": ["x"]}, {})
    made.member("a").in_flight = 100
    assert made.next_for("", NONE_TRIED).target.name == "a"


def test_all_full_is_overloaded() -> None:
    """With a Retry-After; the gateway's own word, since no upstream was asked."""
    made, _, _ = pool({"max_streams": 1})
    assert made.has_room("m", NONE_TRIED)
    made.member("a").in_flight = 1
    assert not made.has_room("m", NONE_TRIED)
    with pytest.raises(errors.Overloaded) as raised:
        made.next_for("m", NONE_TRIED)
    assert raised.value.retry_after == 1.0


def test_the_observer_hears_of_ejections_and_returns_once() -> None:
    """One word for each change, however many failures come in."""
    made, clock, counts = pool({}, {})
    member = made.member("a")
    for _ in range(5):
        made.report(member, HealthEvent.FAILED)
    assert made.next_for("m", NONE_TRIED).target.name == "b"
    clock.now += 10
    made.report(member, HealthEvent.CALLED)
    made.report(member, HealthEvent.ABANDONED)
    made.report(member, HealthEvent.CALLED)
    made.report(member, HealthEvent.FAILED)
    clock.now += 20
    made.report(member, HealthEvent.CALLED)
    made.report(member, HealthEvent.SUCCEEDED)
    assert counts.heard == [("ejected", "a"), ("ejected", "a"), ("returned", "a")]


def test_one_request_at_a_time_probes_an_upstream_that_was_out() -> None:
    """While the probe runs, everybody else goes elsewhere."""
    made, clock, _ = pool({}, {"priority": 1})
    member = made.member("a")
    made.report(member, HealthEvent.FAILED)
    made.report(member, HealthEvent.FAILED)
    clock.now += 10
    assert made.next_for("m", NONE_TRIED) is member
    made.report(member, HealthEvent.CALLED)
    assert made.next_for("m", NONE_TRIED).target.name == "b"


def test_an_upstream_with_active_probes_is_not_probed_by_requests() -> None:
    """Its own probe finds out; until then only a lack of anybody else brings requests there."""
    made, clock, _ = pool({"probe_path": "/health"}, {"priority": 1})
    member = made.member("a")
    made.report(member, HealthEvent.FAILED)
    made.report(member, HealthEvent.FAILED)
    assert made.is_waiting(member)
    clock.now += 1000
    assert not made.is_waiting(member)
    assert made.next_for("m", NONE_TRIED).target.name == "b"


def test_a_bench_lasts_just_so_long() -> None:
    """And not a moment longer."""
    made, clock, counts = pool({}, {"priority": 1})
    made.cool_down(made.member("a"), 5.0)
    assert made.next_for("m", NONE_TRIED).target.name == "b"
    assert not made.has_sibling(made.member("b"), "m", Counter({"b": 1}))
    clock.now += 5
    assert made.next_for("m", NONE_TRIED).target.name == "a"
    assert made.has_sibling(made.member("b"), "m", Counter({"b": 1}))
    assert counts.heard == []


def test_the_status_says_how_each_is() -> None:
    """For people and gauges, without addresses and keys."""
    made, _, _ = pool({"api_key": "secret"}, {})
    made.cool_down(made.member("b"), 2.5)
    made.report(made.member("a"), HealthEvent.FAILED, "answered 500")
    made.member("a").in_flight = 3
    assert made.status() == [
        {
            "name": "a",
            "state": "up",
            "streams": 3,
            "failures_in_a_row": 1,
            "back_in_seconds": 0.0,
            "benched_for_seconds": 0.0,
            "last_failure": "answered 500",
        },
        {
            "name": "b",
            "state": "up",
            "streams": 0,
            "failures_in_a_row": 0,
            "back_in_seconds": 0.0,
            "benched_for_seconds": 2.5,
            "last_failure": "",
        },
    ]


def test_one_that_is_back_in_half_a_millisecond_is_still_out() -> None:
    """The time left is rounded up: at 0 the next request may go there."""
    made, clock, _ = pool({}, {})
    for _ in range(2):
        made.report(made.member("a"), HealthEvent.FAILED, "answered 500")
    clock.now += 9.9997
    assert made.status()[0]["back_in_seconds"] == 0.001
    clock.now += 0.0003
    assert made.status()[0]["back_in_seconds"] == 0
