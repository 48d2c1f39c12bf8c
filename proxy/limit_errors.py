"""The refusals that a key's rights and limits give.

Types and codes are those that OpenAI's API gives ("Error codes"), so that an SDK's own handling
fits; `reason` is the limit's name, as the log and the metrics have it.
"""

from __future__ import annotations

from dataclasses import replace

from proxy.errors import Fault, SluiceError
from proxy.record import EndedBy


class Forbidden(SluiceError):
    """The key is known, and this is not among what it may do."""

    fault = Fault(
        "not_allowed",
        403,
        EndedBy.REJECTED,
        "Ask for what is allowed, or have the operator allow more.",
    )


class LimitReached(SluiceError):
    """A limit of the key said no; which one is its class's `fault.reason`."""

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
    """`max_streams`, after a wait for one of them to end."""

    fault = replace(LimitReached.fault, reason="max_streams")


class BudgetHeld(LimitReached):
    """What is left of `budget_usd` is reserved by requests that still run."""

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
        "Try again after the time in Retry-After; the operator should look after the store.",
    )
