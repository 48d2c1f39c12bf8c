"""A circuit breaker for the store: it decides whether to call, and does no I/O itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class BreakerState(StrEnum):
    """The breaker's state, as named in `/status` and the metrics."""

    CLOSED = "closed"
    """Calls are made."""
    OPEN = "open"
    """No calls are made, except for periodic probes."""


@dataclass(slots=True)
class CircuitBreaker:
    """Opens after a few consecutive failures, or at once if retrying is pointless.

    Times are seconds of one monotonic clock.
    """

    failures_to_open: int = 3
    one_moment: float = 0.02
    """Failures closer together than this have one cause, and count as one."""
    first_probe: float = 0.1
    longest_probe: float = 1.0
    state: BreakerState = BreakerState.CLOSED
    since: float = 0.0
    """When the state last changed."""
    reason: str = ""
    """Why the breaker is open, one or two words."""
    _failures: int = 0
    _last_failure: float = float("-inf")
    _probes: int = 0

    @property
    def lets_through(self) -> bool:
        """Whether a call may be made."""
        return self.state is BreakerState.CLOSED

    def succeeded(self, now: float) -> bool:
        """Note an answer. Return whether this closed the breaker."""
        self._failures = 0
        self._probes = 0
        return self._become(BreakerState.CLOSED, now, "")

    def failed(self, now: float, reason: str, *, hopeless: bool = False) -> bool:
        """Note a failed call. Return whether this opened the breaker."""
        if self.state is BreakerState.OPEN:
            self.reason = reason
            return False
        if hopeless or now - self._last_failure >= self.one_moment:
            self._failures += 1
            self._last_failure = now
        if not hopeless and self._failures < self.failures_to_open:
            return False
        return self._become(BreakerState.OPEN, now, reason)

    def until_probe(self) -> float:
        """Return the seconds until the next probe: exponential backoff, reset by success."""
        delay: float = min(self.first_probe * 2**self._probes, self.longest_probe)
        self._probes = min(self._probes + 1, 32)
        return delay

    def _become(self, state: BreakerState, now: float, reason: str) -> bool:
        self.reason = reason
        if state is self.state:
            return False
        self.state, self.since = state, now
        return True
