"""The errors of requests that exceed a key's rights or limits.

Types and codes are those of OpenAI's API ("Error codes"), so that SDKs handle them; `reason` is the
name of the limit in the log and the metrics.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.errors import Fault, SluiceError
from proxy.record import EndedBy


class Forbidden(SluiceError):
    """The key is known, but has no right to the request."""

    fault = Fault(
        "not_allowed",
        403,
        EndedBy.REJECTED,
        "Use a model and route that the key allows, or have the operator allow more.",
    )


class LimitReached(SluiceError):
    """The request exceeds a limit of its key; `fault.reason` names it."""

    fault = Fault(
        "rate_limit_exceeded",
        429,
        EndedBy.LIMITED,
        "Try again after the time in Retry-After.",
        kind="requests",
        reason="requests_per_minute",
    )


class RequestsLimited(LimitReached):
    """`requests_per_minute`."""


class TokensLimited(LimitReached):
    """`tokens_per_minute`."""

    fault = replace(LimitReached.fault, kind="tokens", reason="tokens_per_minute")


class StreamsLimited(LimitReached):
    """`max_streams`, after waiting for a stream to end."""

    fault = replace(LimitReached.fault, reason="max_streams")


class BudgetHeld(LimitReached):
    """The rest of `budget_usd` is reserved by running requests."""

    fault = replace(LimitReached.fault, kind="tokens", reason="budget_usd")


class BudgetSpent(LimitReached):
    """`budget_usd` is spent until its period ends."""

    fault = replace(
        LimitReached.fault,
        code="insufficient_quota",
        kind="insufficient_quota",
        reason="budget_usd",
        advice="Wait for the next period, or have the operator raise budget_usd.",
        final=True,
    )


class LimitsUnavailable(SluiceError):
    """The store does not answer, and `SLUICE_LIMITS_WITHOUT_STORE` is `closed`."""

    fault = Fault(
        "limits_unavailable",
        503,
        EndedBy.SHED,
        "Try again after the time in Retry-After; the operator should check the store.",
    )
