"""The health of an upstream: a state table over plain values, without a clock of its own.

An upstream is UP until it fails too often; then it is EJECTED, for longer each time. After that one
request, or an active probe, is allowed (HALF_OPEN), and its outcome decides. Cooling down is
independent: a healthy upstream asked for a pause (`Retry-After`).

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS = 30.0
"""The failure rate is computed over one to two windows."""
FEWEST_CALLS = 10
"""No rate is computed from fewer calls."""
LONGEST_EJECTION_SECONDS = 300.0
LONGEST_COOLDOWN_SECONDS = 86_400.0


class HealthState(Enum):
    """The state of an upstream."""

    UP = "up"
    EJECTED = "out"
    HALF_OPEN = "probing"


class HealthEvent(Enum):
    """An event that may change the state."""

    CALLED = "called"
    """A request is sent."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CUT = "cut"
    """A response that was counted as a success was cut later."""
    ENDED = "ended"
    """A response ended completely."""
    ABANDONED = "abandoned"
    """The request ended without an outcome, as its client left."""
    PROBED_WELL = "probed well"
    PROBED_BADLY = "probed badly"


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """When an upstream is ejected, and for how long, from the settings."""

    failures_in_a_row: int
    failure_rate: float
    ejection_seconds: float


class Window(NamedTuple):
    """Recent calls and failures, in the current window and the one before."""

    since: float = 0.0
    calls: int = 0
    failures: int = 0
    calls_before: int = 0
    failures_before: int = 0

    def with_call(self, now: float, *, failed: bool) -> Window:
        """Return the window with one more call."""
        moved = self._at(now)
        return moved._replace(calls=moved.calls + 1, failures=moved.failures + failed)

    def with_cut(self, now: float) -> Window:
        """Return the window with a counted success turned into a failure."""
        moved = self._at(now)
        return moved._replace(failures=moved.failures + 1)

    def rate(self) -> float:
        """Return the share of failures; 0.0 with too few calls."""
        calls = self.calls + self.calls_before
        failures = self.failures + self.failures_before
        return failures / calls if calls >= FEWEST_CALLS else 0.0

    def _at(self, now: float) -> Window:
        halves = int((now - self.since) // WINDOW_SECONDS)
        if halves <= 0:
            return self
        if halves == 1:
            since = self.since + WINDOW_SECONDS
            return Window(since, 0, 0, self.calls, self.failures)
        return Window(now)


class Health(NamedTuple):
    """The health of one upstream."""

    state: HealthState = HealthState.UP
    since: float = 0.0
    """When it entered this state."""
    ejected_until: float = 0.0
    """When it may be tried again, if EJECTED."""
    ejections: int = 0
    """The number of recent ejections; the ejection time doubles with each."""
    failures_in_a_row: int = 0
    """Consecutive failed calls; a response that begins well resets it."""
    cuts_in_a_row: int = 0
    """Consecutive responses that were cut; only a complete one resets it."""
    window: Window = Window()
    cooling_until: float = 0.0

    def open_at(self) -> float:
        """Return from when on a request may be sent."""
        if self.state is HealthState.HALF_OPEN:
            return float("inf")
        return max(
            self.cooling_until, self.ejected_until if self.state is HealthState.EJECTED else 0.0
        )

    def cooling_down(self, until: float, now: float) -> Health:
        """Return the health with a pause; a shorter one does not replace a longer one."""
        until = min(until, now + LONGEST_COOLDOWN_SECONDS)
        return self._replace(cooling_until=max(self.cooling_until, until))


def transition(health: Health, event: HealthEvent, now: float, policy: EjectionPolicy) -> Health:
    """Return the health after an event. Pairs that are not in the table change nothing."""
    change = _TABLE.get((health.state, event))
    return health if change is None else change(health, now, policy)


def _succeeded(health: Health, now: float, policy: EjectionPolicy) -> Health:
    window = health.window.with_call(now, failed=False)
    forgiven = now - health.since >= _ejection_seconds(health.ejections, policy)
    ejections = 0 if forgiven else health.ejections
    return health._replace(failures_in_a_row=0, window=window, ejections=ejections)


def _failed(health: Health, now: float, policy: EjectionPolicy) -> Health:
    window = health.window.with_call(now, failed=True)
    failures = health.failures_in_a_row + 1
    failed = health._replace(failures_in_a_row=failures, window=window)
    if failures >= policy.failures_in_a_row or window.rate() >= policy.failure_rate:
        return _ejected(failed, now, policy)
    return failed


def _cut(health: Health, now: float, policy: EjectionPolicy) -> Health:
    window = health.window.with_cut(now)
    cut = health._replace(cuts_in_a_row=health.cuts_in_a_row + 1, window=window)
    if cut.cuts_in_a_row >= policy.failures_in_a_row or window.rate() >= policy.failure_rate:
        return _ejected(cut, now, policy)
    return cut


def _ended(health: Health, _now: float, _policy: EjectionPolicy) -> Health:
    return health._replace(cuts_in_a_row=0) if health.cuts_in_a_row else health


def _ejected(health: Health, now: float, policy: EjectionPolicy) -> Health:
    ejections = health.ejections + 1
    until = now + _ejection_seconds(ejections, policy)
    return health._replace(
        state=HealthState.EJECTED, since=now, ejected_until=until, ejections=ejections
    )


def _called(health: Health, now: float, _policy: EjectionPolicy) -> Health:
    # Called early, as a last resort: that does not make it HALF_OPEN.
    if now < health.ejected_until:
        return health
    return health._replace(state=HealthState.HALF_OPEN, since=now)


def _returned(health: Health, now: float, _policy: EjectionPolicy) -> Health:
    return health._replace(
        state=HealthState.UP,
        since=now,
        failures_in_a_row=0,
        cuts_in_a_row=0,
        window=Window(now),
        ejected_until=0.0,
    )


def _undecided(health: Health, now: float, _policy: EjectionPolicy) -> Health:
    return health._replace(state=HealthState.EJECTED, since=now, ejected_until=now)


def _ejection_seconds(ejections: int, policy: EjectionPolicy) -> float:
    longest = max(LONGEST_EJECTION_SECONDS, policy.ejection_seconds)
    return float(min(policy.ejection_seconds * 2 ** max(0, min(ejections, 32) - 1), longest))


_TABLE: dict[tuple[HealthState, HealthEvent], Callable[[Health, float, EjectionPolicy], Health]] = {
    (HealthState.UP, HealthEvent.SUCCEEDED): _succeeded,
    (HealthState.UP, HealthEvent.FAILED): _failed,
    (HealthState.UP, HealthEvent.CUT): _cut,
    (HealthState.UP, HealthEvent.ENDED): _ended,
    # A health check's success says little about real requests; its failure counts.
    (HealthState.UP, HealthEvent.PROBED_BADLY): _failed,
    (HealthState.EJECTED, HealthEvent.CALLED): _called,
    # It answered a request sent as a last resort.
    (HealthState.EJECTED, HealthEvent.SUCCEEDED): _returned,
    (HealthState.HALF_OPEN, HealthEvent.SUCCEEDED): _returned,
    (HealthState.HALF_OPEN, HealthEvent.PROBED_WELL): _returned,
    (HealthState.HALF_OPEN, HealthEvent.FAILED): _ejected,
    (HealthState.HALF_OPEN, HealthEvent.PROBED_BADLY): _ejected,
    (HealthState.HALF_OPEN, HealthEvent.ABANDONED): _undecided,
}
