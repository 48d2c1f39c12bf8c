"""When an upstream is taken out, and how it comes back."""

from __future__ import annotations

import pytest

from proxy.upstream.health import (
    FEWEST_CALLS,
    LONGEST_EJECTION_SECONDS,
    WINDOW_SECONDS,
    EjectionPolicy,
    Health,
    HealthEvent,
    HealthState,
    Window,
    transition,
)

RULES = EjectionPolicy(failures_in_a_row=3, failure_rate=0.5, ejection_seconds=10.0)
OUT = Health(
    HealthState.EJECTED, since=100.0, ejected_until=110.0, ejections=1, failures_in_a_row=3
)
PROBING = Health(HealthState.HALF_OPEN, since=110.0, ejected_until=110.0, ejections=1)


def run(health: Health, events: str, now: float = 100.0, step: float = 0.0) -> Health:
    """Let things happen, written by their letters: `f`ailed, `s`ucceeded, `c`alled, cut (`x`)."""
    letters = {
        "f": HealthEvent.FAILED,
        "s": HealthEvent.SUCCEEDED,
        "c": HealthEvent.CALLED,
        "a": HealthEvent.ABANDONED,
        "x": HealthEvent.CUT,
        "e": HealthEvent.ENDED,
    }
    for letter in events:
        health = transition(health, letters[letter], now, RULES)
        now += step
    return health


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ("", HealthState.UP),
        ("ff", HealthState.UP),
        ("fff", HealthState.EJECTED),
        ("ffsff", HealthState.UP),
        ("ffsfff", HealthState.EJECTED),
        ("ffaaf", HealthState.EJECTED),
        ("caca" * 20, HealthState.UP),
        # A rate needs enough calls to be one.
        ("sfsfsfsfs", HealthState.UP),
        ("sfsfsfsfsf", HealthState.EJECTED),
        ("sssfsssfsssfsssf", HealthState.UP),
        # A good beginning makes up for no bad end.
        ("sxsx", HealthState.UP),
        ("sxsxsx", HealthState.EJECTED),
        ("sxsxsesxsx", HealthState.UP),
        ("ssssxxsesxse" * 3, HealthState.UP),
        ("sxse" * 5 + "sx", HealthState.EJECTED),
        ("se" + "sxse" * 4 + "sx", HealthState.EJECTED),
    ],
)
def test_failures_in_a_row_or_their_rate_take_it_out(events: str, state: HealthState) -> None:
    """Three in a row, or half of at least ten calls; a client that left counts for nothing.

    Not before the last of them: what came after would hide it.
    """
    before = {run(Health(), events[:length]).state for length in range(len(events))}
    assert before <= {HealthState.UP}
    assert run(Health(), events).state is state


@pytest.mark.parametrize(
    ("health", "event", "now", "state"),
    [
        (OUT, HealthEvent.CALLED, 109.0, HealthState.EJECTED),
        (OUT, HealthEvent.CALLED, 110.0, HealthState.HALF_OPEN),
        (OUT, HealthEvent.FAILED, 120.0, HealthState.EJECTED),
        (OUT, HealthEvent.ABANDONED, 120.0, HealthState.EJECTED),
        (OUT, HealthEvent.SUCCEEDED, 105.0, HealthState.UP),
        (OUT, HealthEvent.PROBED_WELL, 105.0, HealthState.EJECTED),
        (OUT, HealthEvent.CUT, 105.0, HealthState.EJECTED),
        (OUT, HealthEvent.ENDED, 105.0, HealthState.EJECTED),
        (PROBING, HealthEvent.CUT, 111.0, HealthState.HALF_OPEN),
        (PROBING, HealthEvent.ENDED, 111.0, HealthState.HALF_OPEN),
        (OUT, HealthEvent.PROBED_BADLY, 105.0, HealthState.EJECTED),
        (PROBING, HealthEvent.CALLED, 111.0, HealthState.HALF_OPEN),
        (PROBING, HealthEvent.SUCCEEDED, 111.0, HealthState.UP),
        (PROBING, HealthEvent.PROBED_WELL, 111.0, HealthState.UP),
        (PROBING, HealthEvent.FAILED, 111.0, HealthState.EJECTED),
        (PROBING, HealthEvent.PROBED_BADLY, 111.0, HealthState.EJECTED),
        (PROBING, HealthEvent.ABANDONED, 111.0, HealthState.EJECTED),
        (Health(failures_in_a_row=2), HealthEvent.PROBED_BADLY, 100.0, HealthState.EJECTED),
        (Health(failures_in_a_row=2), HealthEvent.PROBED_WELL, 100.0, HealthState.UP),
    ],
)
def test_the_way_out_and_back(
    health: Health, event: HealthEvent, now: float, state: HealthState
) -> None:
    """Every state and event that matter."""
    assert transition(health, event, now, RULES).state is state


def test_a_health_page_that_answers_forgives_nothing() -> None:
    """Two failures and a good active probe are still two failures."""
    assert (
        transition(
            Health(failures_in_a_row=2), HealthEvent.PROBED_WELL, 1.0, RULES
        ).failures_in_a_row
        == 2
    )


def test_the_wait_doubles_with_each_ejection_up_to_a_limit() -> None:
    """10, 20, 40 … seconds, never above the longest."""
    health, now, waits = Health(), 100.0, []
    for _ in range(8):
        health = run(health, "fff" if health.state is HealthState.UP else "cf", now)
        waits.append(health.ejected_until - now)
        now = health.ejected_until
    assert waits == [10, 20, 40, 80, 160, 300, 300, 300]
    assert waits[-1] == LONGEST_EJECTION_SECONDS


def test_a_wait_that_the_operator_wants_longer_is_kept() -> None:
    """SLUICE_EJECT_SECONDS above the limit is not shortened."""
    policy = EjectionPolicy(1, 0.5, 1000.0)
    assert transition(Health(), HealthEvent.FAILED, 0.0, policy).ejected_until == 1000.0


def test_good_conduct_is_rewarded() -> None:
    """Once up for as long as it was out, the next ejection is short again."""
    back = run(PROBING, "s", 111.0)
    assert (back.ejections, back.failures_in_a_row, back.window.calls) == (1, 0, 0)
    assert run(back, "s", 120.0).ejections == 1
    assert run(back, "s", 121.0).ejections == 0


def test_who_comes_back_has_no_row_behind_it() -> None:
    """Neither of failures nor of answers that broke off."""
    broken = PROBING._replace(cuts_in_a_row=2, failures_in_a_row=2)
    assert run(broken, "ssxsx", 111.0).state is HealthState.UP
    assert run(broken, "sff", 111.0).state is HealthState.UP


def test_who_is_back_before_its_time_is_waited_for_no_more() -> None:
    """It answered as the last resort: the rest of its time out is nobody's to wait."""
    back = run(OUT, "s", 105.0)
    assert (back.state, back.open_at()) == (HealthState.UP, 0.0)
    assert back.ejected_until <= 105.0


def test_a_probe_that_was_given_up_may_be_repeated_at_once() -> None:
    """A client that left during the probe leaves the question open."""
    assert run(PROBING, "a", 111.0).open_at() == 111.0


@pytest.mark.parametrize(
    ("health", "open_at"),
    [
        (Health(), 0.0),
        (OUT, 110.0),
        (PROBING, float("inf")),
        (Health(cooling_until=50.0), 50.0),
        (Health(HealthState.EJECTED, ejected_until=110.0, cooling_until=150.0), 150.0),
    ],
)
def test_when_a_request_may_go_there(health: Health, open_at: float) -> None:
    """After its time out and its pause; during a probe, not at all."""
    assert health.open_at() == open_at


def test_the_longest_pause_counts_but_not_for_ever() -> None:
    """A shorter pause does not undo a longer one; a date in a far year is not believed."""
    health = Health().cooling_down(130.0, 100.0).cooling_down(110.0, 100.0)
    assert health.cooling_until == 130.0
    assert health.cooling_down(1e12, 100.0).cooling_until == 100.0 + 86_400


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


def test_each_window_follows_the_one_before() -> None:
    """What is remembered is the last whole window, and not what came before it."""
    window = Window()
    for failed, now in ((False, 1.0), (True, 1.0 + WINDOW_SECONDS)):
        for _ in range(FEWEST_CALLS):
            window = window.with_call(now, failed=failed)
    assert window.rate() == 0.5
    later = window.with_call(1.0 + 2 * WINDOW_SECONDS, failed=False)
    assert later.rate() == FEWEST_CALLS / (FEWEST_CALLS + 1)


def test_an_answer_that_broke_off_is_one_failure() -> None:
    """Of a call that was counted when it began."""
    window = Window()
    for _ in range(FEWEST_CALLS):
        window = window.with_call(1.0, failed=False)
    assert window.with_cut(1.0).rate() == 1 / FEWEST_CALLS
