"""Which timeout has expired, and when to look next: tables over plain values."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from proxy.record import EndedBy
from proxy.relay.timeouts import Timeouts, Timestamps, expired_timeout, next_check
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

TIMEOUTS = Timeouts(connect=5, first_token=10, idle=20, total=100, slow_client=8, ping=15)
FRESH = Timestamps(
    called_at=0,
    sent_at=1,
    first_token_at=None,
    data_at=1,
    written_at=1,
    client_stuck_since=None,
)
RUNNING = replace(FRESH, first_token_at=2, data_at=50, written_at=50)


@pytest.mark.parametrize(
    ("times", "now", "ended_by"),
    [
        (FRESH, 10.9, None),
        (FRESH, 11, EndedBy.FIRST_TOKEN_TIMEOUT),
        (replace(FRESH, data_at=10), 11, EndedBy.FIRST_TOKEN_TIMEOUT),
        (RUNNING, 69.9, None),
        (RUNNING, 70, EndedBy.IDLE_TIMEOUT),
        (replace(RUNNING, data_at=99), 100, EndedBy.TOTAL_TIMEOUT),
        (replace(RUNNING, called_at=30, data_at=129), 129.9, None),
        (replace(RUNNING, called_at=30, data_at=129), 130, EndedBy.TOTAL_TIMEOUT),
        (replace(RUNNING, client_stuck_since=60), 67.9, None),
        (replace(RUNNING, client_stuck_since=60), 68, EndedBy.SLOW_CLIENT),
        # While the client holds things up, the upstream's silence is not the upstream's fault.
        (replace(RUNNING, client_stuck_since=69), 75, None),
        (replace(RUNNING, client_stuck_since=99), 100, EndedBy.TOTAL_TIMEOUT),
    ],
)
def test_the_timeout_that_has_expired(
    times: Timestamps, now: float, ended_by: EndedBy | None
) -> None:
    """Each clock ends a stream with its own outcome, at its own time."""
    error = expired_timeout(TIMEOUTS, times, now)
    assert (error.fault.ended_by if error else None) is ended_by


@pytest.mark.parametrize(
    ("times", "now", "look"),
    [
        (FRESH, 1, 3),
        (replace(FRESH, written_at=-13), 1, 2),
        (replace(RUNNING, client_stuck_since=60), 61, 63),
        (RUNNING, 69.5, 65 + 4.505 - 0.0),
        (replace(RUNNING, written_at=69), 69, 70),
        (replace(FRESH, data_at=10, written_at=10), 10, 11),
        (replace(FRESH, first_token_at=2, data_at=10, written_at=10), 10, 12),
    ],
)
def test_when_to_look_next(times: Timestamps, now: float, look: float) -> None:
    """At the earliest moment at which anything can be due, and never in the past."""
    assert next_check(TIMEOUTS, times, now) == pytest.approx(look)


def test_while_the_client_is_stuck_the_upstreams_silence_is_looked_at_now_and_then() -> None:
    """It may take something at any moment; then the time of silence begins."""
    patient = replace(TIMEOUTS, slow_client=100)
    stuck = replace(RUNNING, client_stuck_since=60, written_at=60)
    assert next_check(patient, stuck, 61) == 61 + TIMEOUTS.idle / 4


def test_a_timeout_that_is_off_never_expires() -> None:
    """0 in the settings is never, for every timeout but the connect timeout."""
    settings = Settings(
        first_token_timeout_seconds=0,
        idle_timeout_seconds=0,
        total_timeout_seconds=0,
        slow_client_timeout_seconds=0,
        ping_interval_seconds=0,
    )
    timeouts = Timeouts.of(settings)
    assert expired_timeout(timeouts, FRESH, 1e9) is None
    assert next_check(timeouts, FRESH, 1.0) == math.inf


def test_what_is_the_clients_side_is_the_same_for_every_upstream() -> None:
    """How long a client may take nothing, and how long it may be sent nothing."""
    common = Settings(slow_client_timeout_seconds=7, ping_interval_seconds=3)
    timeouts = Timeouts.of(
        common, UpstreamSettings.model_validate({"name": "a", "url": "http://a"})
    )
    assert (timeouts.slow_client, timeouts.ping) == (7, 3)


def test_an_upstream_has_its_own_timeouts() -> None:
    """What an upstream sets for itself wins; what it leaves out is common; its 0 is off too."""
    own = UpstreamSettings.model_validate(
        {"name": "a", "url": "http://a", "idle_timeout_seconds": 3, "total_timeout_seconds": 0}
    )
    common = Settings(upstreams=(own,), first_token_timeout_seconds=10, total_timeout_seconds=9)
    timeouts = Timeouts.of(common, own)
    assert (timeouts.idle, timeouts.total, timeouts.first_token) == (3, math.inf, 10)
    assert Timeouts.of(common).total == 9
