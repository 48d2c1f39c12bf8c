"""Whether an upstream may be asked: a state table over plain values, without a clock of its own.

An upstream is UP until it fails too often; then it is EJECTED for a while that grows each time.
After that one request, or an active probe, is let through (HALF_OPEN), and its outcome decides.
Cooling down is something else: a healthy upstream asked for a pause (`Retry-After`).

All times are seconds of one monotonic clock.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_SECONDS = 30.0
"""The failure rate is taken over one to two of these."""
FEWEST_CALLS = 10
"""No rate is taken over fewer calls."""
LONGEST_EJECTION_SECONDS = 300.0
LONGEST_COOLDOWN_SECONDS = 86_400.0


class HealthState(Enum):
    """Where an upstream stands."""

    UP = "up"
    EJECTED = "out"
    HALF_OPEN = "probing"


class HealthEvent(Enum):
    """What happens to it."""

    CALLED = "called"
    """A request goes there."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CUT = "cut"
    """An answer that had begun well, and was counted as a success, came to no good end."""
    ENDED = "ended"
    """Such an answer came to its end."""
    ABANDONED = "abandoned"
    """The request ended without a verdict on the upstream: its client left."""
    PROBED_WELL = "probed well"
    PROBED_BADLY = "probed badly"


@dataclass(frozen=True, slots=True)
class EjectionPolicy:
    """When an upstream is taken out, and for how long; the settings say."""

    failures_in_a_row: int
    failure_rate: float
    ejection_seconds: float


class Window(NamedTuple):
    """Calls and failures of late, in two halves, so that the past fades."""

    since: float = 0.0
    calls: int = 0
    failures: int = 0
    calls_before: int = 0
    failures_before: int = 0

    def with_call(self, now: float, *, failed: bool) -> Window:
        """One more call."""
        moved = self._at(now)
        return moved._replace(calls=moved.calls + 1, failures=moved.failures + failed)

    def with_cut(self, now: float) -> Window:
        """A call that was counted as a success was none."""
        moved = self._at(now)
        return moved._replace(failures=moved.failures + 1)

    def rate(self) -> float:
        """The share of failures; 0.0 while there are too few calls to say."""
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
    """All that is remembered of one upstream's health."""

    state: HealthState = HealthState.UP
    since: float = 0.0
    """When it came into this state."""
    ejected_until: float = 0.0
    """When it may be tried again, while it is EJECTED."""
    ejections: int = 0
    """How often it was taken out of late: the wait doubles with each."""
    failures_in_a_row: int = 0
    """Calls that came to nothing; a good beginning ends the row."""
    cuts_in_a_row: int = 0
    """Answers that began well and broke off; only a good end ends this row."""
    window: Window = Window()
    cooling_until: float = 0.0

    def open_at(self) -> float:
        """From when on a request may go there."""
        if self.state is HealthState.HALF_OPEN:
            return float("inf")
        return max(
            self.cooling_until, self.ejected_until if self.state is HealthState.EJECTED else 0.0
        )

    def cooling_down(self, until: float, now: float) -> Health:
        """Paused because the upstream asked for it; a shorter pause does not undo a longer one."""
        until = min(until, now + LONGEST_COOLDOWN_SECONDS)
        return self._replace(cooling_until=max(self.cooling_until, until))


def transition(health: Health, event: HealthEvent, now: float, policy: EjectionPolicy) -> Health:
    """The health after something happened. A pair that is not in the table changes nothing."""
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
    # Called before its time, it is the last resort, and that proves nothing by being tried.
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
    # That a health page answers says little of the answers that count; that it fails says enough.
    (HealthState.UP, HealthEvent.PROBED_BADLY): _failed,
    (HealthState.EJECTED, HealthEvent.CALLED): _called,
    # It answered, asked as the last resort: no better proof could be had.
    (HealthState.EJECTED, HealthEvent.SUCCEEDED): _returned,
    (HealthState.HALF_OPEN, HealthEvent.SUCCEEDED): _returned,
    (HealthState.HALF_OPEN, HealthEvent.PROBED_WELL): _returned,
    (HealthState.HALF_OPEN, HealthEvent.FAILED): _ejected,
    (HealthState.HALF_OPEN, HealthEvent.PROBED_BADLY): _ejected,
    (HealthState.HALF_OPEN, HealthEvent.ABANDONED): _undecided,
}
