"""How many retries the traffic can bear: a fifth of it, so that they never make a storm."""

from __future__ import annotations

TOKENS_PER_REQUEST = 0.2
"""Retries per request."""
MIN_TOKENS = 10.0
"""Retries that need no traffic to have earned them, so that the first requests have some too."""
REFILL_SECONDS = 60.0
"""In which an empty bucket fills up to the minimum, where there is hardly any traffic."""
MAX_TOKENS = 100.0


class RetryBudget:
    """A token bucket: each request deposits a fraction, each retry withdraws a whole token."""

    __slots__ = ("_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = MIN_TOKENS
        self._at = 0.0

    def deposit(self) -> None:
        """One more request came."""
        self._tokens = min(MAX_TOKENS, self._tokens + TOKENS_PER_REQUEST)

    def may_retry(self, now: float) -> bool:
        """Whether there is a token; `now` is seconds of a monotonic clock."""
        if self._tokens < MIN_TOKENS:
            earned = (now - self._at) * MIN_TOKENS / REFILL_SECONDS
            self._tokens = min(MIN_TOKENS, self._tokens + earned)
        self._at = now
        return self._tokens >= 1.0

    def withdraw(self) -> None:
        """A retry goes out."""
        self._tokens -= 1.0
