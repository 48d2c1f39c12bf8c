"""When an upstream is taken out, and how it comes back."""

from __future__ import annotations

import pytest

from proxy.upstream.health import (
    FEWEST_CALLS,
    LONGEST_EJECTION_SECONDS,
    WINDOW_SECONDS,
    Event,
    Health,
    Rules,
    State,
    Window,
    after,
)

RULES = Rules(failures_in_a_row=3, failure_rate=0.5, seconds_out=10.0)
OUT = Health(State.OUT, since=100.0, out_until=110.0, ejections=1, failures_in_a_row=3)
PROBING = Health(State.PROBING, since=110.0, out_until=110.0, ejections=1)


def run(health: Health, events: str, now: float = 100.0, step: float = 0.0) -> Health:
    """Let things happen, written by their letters: `f`ailed, `s`ucceeded, `c`alled, cut (`x`)."""
    letters = {
        "f": Event.FAILED,
        "s": Event.SUCCEEDED,
        "c": Event.CALLED,
        "a": Event.ABANDONED,
        "x": Event.CUT,
        "e": Event.ENDED,
    }
    for letter in events:
        health = after(health, letters[letter], now, RULES)
        now += step
    return health


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ("", State.UP),
        ("ff", State.UP),
        ("fff", State.OUT),
        ("ffsff", State.UP),
        ("ffsfff", State.OUT),
        ("ffaaff", State.OUT),
        ("caca" * 20, State.UP),
        # A rate needs enough calls to be one.
        ("sfsfsfsfs", State.UP),
        ("sfsfsfsfsf", State.OUT),
        ("sssfsssfsssfsssf", State.UP),
        # A good beginning makes up for no bad end.
        ("sxsx", State.UP),
        ("sxsxsx", State.OUT),
        ("sxsxsesxsx", State.UP),
        ("sssxxsesxse" * 3, State.UP),
        ("sxse" * 5 + "sx", State.OUT),
    ],
)
def test_failures_in_a_row_or_their_rate_take_it_out(events: str, state: State) -> None:
    """Three in a row, or half of at least ten calls; a client that left counts for nothing."""
    assert run(Health(), events).state is state


@pytest.mark.parametrize(
    ("health", "event", "now", "state"),
    [
        (OUT, Event.CALLED, 109.0, State.OUT),
        (OUT, Event.CALLED, 110.0, State.PROBING),
        (OUT, Event.FAILED, 120.0, State.OUT),
        (OUT, Event.ABANDONED, 120.0, State.OUT),
        (OUT, Event.SUCCEEDED, 105.0, State.UP),
        (OUT, Event.PROBED_WELL, 105.0, State.OUT),
        (OUT, Event.CUT, 105.0, State.OUT),
        (OUT, Event.ENDED, 105.0, State.OUT),
        (PROBING, Event.CUT, 111.0, State.PROBING),
        (PROBING, Event.ENDED, 111.0, State.PROBING),
        (OUT, Event.PROBED_BADLY, 105.0, State.OUT),
        (PROBING, Event.CALLED, 111.0, State.PROBING),
        (PROBING, Event.SUCCEEDED, 111.0, State.UP),
        (PROBING, Event.PROBED_WELL, 111.0, State.UP),
        (PROBING, Event.FAILED, 111.0, State.OUT),
        (PROBING, Event.PROBED_BADLY, 111.0, State.OUT),
        (PROBING, Event.ABANDONED, 111.0, State.OUT),
        (Health(failures_in_a_row=2), Event.PROBED_BADLY, 100.0, State.OUT),
        (Health(failures_in_a_row=2), Event.PROBED_WELL, 100.0, State.UP),
    ],
)
def test_the_way_out_and_back(health: Health, event: Event, now: float, state: State) -> None:
    """Every state and event that matter."""
    assert after(health, event, now, RULES).state is state


def test_a_health_page_that_answers_forgives_nothing() -> None:
    """Two failures and a good active probe are still two failures."""
    assert after(Health(failures_in_a_row=2), Event.PROBED_WELL, 1.0, RULES).failures_in_a_row == 2


def test_the_wait_doubles_with_each_ejection_up_to_a_limit() -> None:
    """10, 20, 40 … seconds, never above the longest."""
    health, now, waits = Health(), 100.0, []
    for _ in range(8):
        health = run(health, "fff" if health.state is State.UP else "cf", now)
        waits.append(health.out_until - now)
        now = health.out_until
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert waits[-1] == LONGEST_EJECTION_SECONDS


def test_a_wait_that_the_operator_wants_longer_is_kept() -> None:
    """SLUICE_EJECT_SECONDS above the limit is not shortened."""
    rules = Rules(1, 0.5, 1000.0)
    assert after(Health(), Event.FAILED, 0.0, rules).out_until == 1000.0


def test_good_conduct_is_rewarded() -> None:
    """Once up for as long as it was out, the next ejection is short again."""
    back = run(PROBING, "s", 111.0)
    assert (back.ejections, back.failures_in_a_row, back.window.calls) == (1, 0, 0)
    assert run(back, "s", 120.0).ejections == 1
    assert run(back, "s", 121.0).ejections == 0


def test_a_probe_that_was_given_up_may_be_repeated_at_once() -> None:
    """A client that left during the probe leaves the question open."""
    assert run(PROBING, "a", 111.0).open_at() == 111.0


@pytest.mark.parametrize(
    ("health", "open_at"),
    [
        (Health(), 0.0),
        (OUT, 110.0),
        (PROBING, float("inf")),
        (Health(benched_until=50.0), 50.0),
        (Health(State.OUT, out_until=110.0, benched_until=150.0), 150.0),
    ],
)
def test_when_a_request_may_go_there(health: Health, open_at: float) -> None:
    """After its time out and its pause; during a probe, not at all."""
    assert health.open_at() == open_at


def test_the_longest_pause_counts_but_not_for_ever() -> None:
    """A shorter pause does not undo a longer one; a date in a far year is not believed."""
    health = Health().benched(130.0, 100.0).benched(110.0, 100.0)
    assert health.benched_until == 130.0
    assert health.benched(1e12, 100.0).benched_until == 100.0 + 86_400


def test_the_past_fades_from_the_rate() -> None:
    """Failures of two windows ago no longer count."""
    window = Window()
    for _ in range(FEWEST_CALLS):
        window = window.with_call(1.0, failed=True)
    assert window.rate() == 1.0
    half = window.with_call(1.0 + WINDOW_SECONDS, failed=False)
    assert half.rate() == FEWEST_CALLS / (FEWEST_CALLS + 1)
    assert half.with_call(1.0 + 2 * WINDOW_SECONDS, failed=False).rate() == 0.0
    assert window.with_call(1.0 + 5 * WINDOW_SECONDS, failed=True).rate() == 0.0
