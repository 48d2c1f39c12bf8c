"""Whether the store is asked at all: a circuit breaker that decides and does nothing itself."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """As `/status` and the metrics call it."""

    CLOSED = "closed"
    """Calls go through."""
    OPEN = "open"
    """Nobody asks; a probe does, now and then."""


@dataclass(slots=True)
class Breaker:
    """Opens after a few failures in a row, or at once where trying again is pointless.

    Times are those of one monotonic clock, in seconds.
    """

    failures_to_open: int = 3
    one_moment: float = 0.02
    """Failures closer together than this have one cause, and count once."""
    first_probe: float = 0.1
    longest_probe: float = 1.0
    state: State = State.CLOSED
    since: float = 0.0
    """When it last changed."""
    reason: str = ""
    """Why it is open, in a word."""
    _failures: int = 0
    _last_failure: float = float("-inf")
    _probes: int = 0

    @property
    def lets_through(self) -> bool:
        """Whether a call may be made."""
        return self.state is State.CLOSED

    def succeeded(self, now: float) -> bool:
        """Note an answer. Returns whether this closed it."""
        self._failures = 0
        self._probes = 0
        return self._become(State.CLOSED, now, "")

    def failed(self, now: float, reason: str, *, hopeless: bool = False) -> bool:
        """Note that there was none, or a refusal. Returns whether this opened it."""
        if self.state is State.OPEN:
            self.reason = reason
            return False
        if hopeless or now - self._last_failure >= self.one_moment:
            self._failures += 1
            self._last_failure = now
        if not hopeless and self._failures < self.failures_to_open:
            return False
        return self._become(State.OPEN, now, reason)

    def until_probe(self) -> float:
        """How long to wait before the next probe; longer each time, and reset by success."""
        delay: float = min(self.first_probe * 2**self._probes, self.longest_probe)
        self._probes = min(self._probes + 1, 32)
        return delay

    def _become(self, state: State, now: float, reason: str) -> bool:
        self.reason = reason
        if state is self.state:
            return False
        self.state, self.since = state, now
        return True
