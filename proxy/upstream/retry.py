"""Decides whether and when to retry: pure functions, the retry budget, and `Retry-After`."""

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
"""Statuses worth a retry; 500 only if the settings say so."""
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 8.0
TOKENS_PER_REQUEST = 0.2
"""Tokens earned per request."""
MIN_TOKENS = 10.0
"""The minimum that the bucket refills to without traffic, so that first requests can retry."""
REFILL_SECONDS = 60.0
"""The time in which an empty bucket refills to the minimum."""
MAX_TOKENS = 100.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """The limits of retries, from the settings."""

    retries: int
    on_500: bool
    max_retry_after: float
    """The longest `Retry-After` to wait for, in seconds."""


@dataclass(frozen=True, slots=True)
class Failure:
    """An attempt's failure: the upstream's status, or an error."""

    status: int | None = None
    error: SluiceError | None = None
    retry_after: float | None = None
    """The upstream's `Retry-After`, in seconds."""

    @property
    def reason(self) -> str:
        """For labels: `status_503`, or the error's code."""
        return f"status_{self.status}" if self.error is None else self.error.fault.code


@dataclass(frozen=True, slots=True)
class RetryContext:
    """The other inputs of the decision."""

    attempts: int
    """The attempts so far, including this one."""
    sibling: bool
    """Whether another upstream, tried less often, is available."""
    in_budget: bool
    committed: bool
    """Whether a status has been sent to the client."""


def is_transient(failure: Failure, policy: RetryPolicy) -> bool:
    """Whether this kind of failure is worth a retry."""
    if failure.error is not None:
        return failure.error.fault.retry_safe
    return failure.status in TRANSIENT_STATUSES or (failure.status == 500 and policy.on_500)


def retry_delay(
    failure: Failure, context: RetryContext, policy: RetryPolicy, random: Callable[[], float]
) -> float | None:
    """Return the seconds to wait before a retry; None for no retry.

    Another upstream is tried at once, the same one after a backoff or its `Retry-After`.
    `random` returns numbers in [0, 1), for full jitter.
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
    """Parse `retry-after-ms` (OpenAI, Azure) or `Retry-After` (RFC 9110, 10.2.3) into seconds.

    `now` is Unix time, to compare with an HTTP date.
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
    """Parse a finite number of 0 or more; some upstreams send fractions of a second."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None


class RetryBudget:
    """A token bucket that limits retries to a fifth of the traffic, against retry storms.

    Each request deposits a fraction of a token, each retry withdraws one.
    """

    __slots__ = ("_refilled_at", "_tokens")

    def __init__(self) -> None:
        self._tokens = MIN_TOKENS
        self._refilled_at = 0.0

    def deposit(self) -> None:
        """Deposit for one request."""
        self._tokens = min(MAX_TOKENS, self._tokens + TOKENS_PER_REQUEST)

    def may_retry(self, now: float) -> bool:
        """Whether a token is available; `now` is seconds of a monotonic clock."""
        if self._tokens < MIN_TOKENS:
            earned = (now - self._refilled_at) * MIN_TOKENS / REFILL_SECONDS
            self._tokens = min(MIN_TOKENS, self._tokens + earned)
        self._refilled_at = now
        return self._tokens >= 1.0

    def withdraw(self) -> None:
        """Withdraw for one retry."""
        self._tokens -= 1.0
