"""Whether another attempt is made, where and when: a plain function over plain values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.errors import SluiceError

TRANSIENT_STATUSES = frozenset({408, 429, 502, 503, 504, 529})
"""Statuses that another attempt may not meet again; 500 only if the operator says so."""
FIRST_BACKOFF_SECONDS = 0.25
LONGEST_BACKOFF_SECONDS = 8.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How far retries may go."""

    retries: int = 2
    on_500: bool = False
    max_retry_after: float = 10.0
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
