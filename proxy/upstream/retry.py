"""Whether another attempt is made, where and when: plain functions over plain values.

Also what bounds all retries together (`RetryBudget`), and what the upstream asked for
(`Retry-After`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from multidict import MultiMapping

    from proxy.errors import SluiceError

TRANSIENT_STATUSES = frozenset({408, 429, 502, 503, 504, 529})
"""Statuses that another attempt may not meet again; 500 only if the operator says so."""
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 8.0
TOKENS_PER_REQUEST = 0.2
"""Retries per request."""
MIN_TOKENS = 10.0
"""Retries that need no traffic to have earned them, so that the first requests have some too."""
REFILL_SECONDS = 60.0
"""In which an empty bucket fills up to the minimum, where there is hardly any traffic."""
MAX_TOKENS = 100.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How far retries may go; the settings say."""

    retries: int
    on_500: bool
    max_retry_after: float
    """Seconds: the longest `Retry-After` that is waited for."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one attempt: the upstream's status, or an error of Sluice's own."""

    status: int | None = None
    error: SluiceError | None = None
    retry_after: float | None = None
    """Seconds the upstream asked to be left alone."""

    @property
    def reason(self) -> str:
        """For labels: `status_503`, or the error's code."""
        return f"status_{self.status}" if self.error is None else self.error.fault.code


@dataclass(frozen=True, slots=True)
class RetryContext:
    """What else decides."""

    attempts: int
    """Made so far, this one included."""
    sibling: bool
    """Another upstream may be asked that was tried less."""
    in_budget: bool
    committed: bool
    """A status has left for the client: nothing can be taken back."""


def is_transient(failure: Failure, policy: RetryPolicy) -> bool:
    """Whether this kind of failure is worth another attempt at all."""
    if failure.error is not None:
        return failure.error.fault.retry_safe
    return failure.status in TRANSIENT_STATUSES or (failure.status == 500 and policy.on_500)


def retry_delay(
    failure: Failure, context: RetryContext, policy: RetryPolicy, random: Callable[[], float]
) -> float | None:
    """Seconds to wait before another attempt; None: what there is goes to the client.

    A sibling is asked at once, the same upstream after a backoff or the pause it asked for.
    `random` gives numbers in [0, 1), for full jitter: clients that failed together do not come
    back together.
    """
    exhausted = context.attempts > policy.retries or not context.in_budget
    if context.committed or exhausted or not is_transient(failure, policy):
        return None
    if context.sibling:
        return 0.0
    retry_after = failure.retry_after or 0.0
    if retry_after > policy.max_retry_after:
        return None
    longest = min(LONGEST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** (context.attempts - 1))
    return max(retry_after, random() * longest)


def parse_retry_after(headers: MultiMapping[str], now: float) -> float | None:
    """Seconds from `retry-after-ms` (OpenAI, Azure) or `Retry-After` (RFC 9110, 10.2.3), or None.

    `now` is seconds of the wall clock, which an HTTP date is held against.
    """
    if (exact := _number(headers.get("retry-after-ms"))) is not None:
        return exact / 1000
    value = headers.get("Retry-After")
    if (seconds := _number(value)) is not None:
        return seconds
    try:
        return max(0.0, parsedate_to_datetime(value or "").timestamp() - now)
    except (ValueError, OverflowError):
        return None


def _number(text: str | None) -> float | None:
    """A number that is no less than nothing; some upstreams send fractions of a second."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


class RetryBudget:
    """A token bucket, so that retries stay a fifth of the traffic and never make a storm.

    Each request deposits a fraction of a token, each retry withdraws a whole one.
    """

    __slots__ = ("_refilled_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = MIN_TOKENS
        self._refilled_at = 0.0

    def deposit(self) -> None:
        """One more request came."""
        self._tokens = min(MAX_TOKENS, self._tokens + TOKENS_PER_REQUEST)

    def may_retry(self, now: float) -> bool:
        """Whether there is a token; `now` is seconds of a monotonic clock."""
        if self._tokens < MIN_TOKENS:
            earned = (now - self._refilled_at) * MIN_TOKENS / REFILL_SECONDS
            self._tokens = min(MIN_TOKENS, self._tokens + earned)
        self._refilled_at = now
        return self._tokens >= 1.0

    def withdraw(self) -> None:
        """A retry goes out."""
        self._tokens -= 1.0
