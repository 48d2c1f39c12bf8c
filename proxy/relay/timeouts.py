"""The timeouts of a running stream, decided purely: times in, what is due out."""

from __future__ import annotations

import math
from dataclasses import dataclass

from proxy.effective_settings import effective
from proxy.errors import (
    FirstTokenTimeout,
    IdleTimeout,
    SlowClient,
    SluiceError,
    TotalTimeout,
)
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

_MIN_CHECK_SECONDS = 0.005


@dataclass(frozen=True, slots=True)
class Timeouts:
    """How long each thing may take, in seconds; `inf` is never."""

    connect: float
    first_token: float
    idle: float
    total: float
    slow_client: float
    ping: float

    @classmethod
    def of(cls, settings: Settings, upstream: UpstreamSettings | None = None) -> Timeouts:
        """The timeouts for responses of this upstream, or of any that sets none of its own."""
        own = effective(settings, upstream)
        return cls(
            connect=own.connect_timeout,
            first_token=own.first_token_timeout or math.inf,
            idle=own.idle_timeout or math.inf,
            total=own.total_timeout or math.inf,
            slow_client=settings.slow_client_timeout_seconds or math.inf,
            ping=settings.ping_interval_seconds or math.inf,
        )


@dataclass(frozen=True, slots=True)
class Timestamps:
    """When things last happened on one stream, in seconds of `time.monotonic()`."""

    called_at: float
    """The upstream was first called."""
    sent_at: float
    """The request had been sent: the first token is waited for from here."""
    first_token_at: float | None
    data_at: float
    """The last data event, or the last moment at which none could come for the client's sake."""
    written_at: float
    """Something was last written to the client, pings included."""
    client_stuck_since: float | None
    """Since when the client has had bytes to take and taken none; None while it takes them."""


def expired_timeout(timeouts: Timeouts, times: Timestamps, now: float) -> SluiceError | None:
    """The timeout that has expired, if one has; the client's own fault goes first."""
    if times.client_stuck_since is not None:
        if now - times.client_stuck_since >= timeouts.slow_client:
            return SlowClient(f"The client took no byte for {timeouts.slow_client:g} s.")
    elif times.first_token_at is None and now - times.sent_at >= timeouts.first_token:
        return FirstTokenTimeout(f"The upstream sent no token within {timeouts.first_token:g} s.")
    elif now - times.data_at >= timeouts.idle:
        return IdleTimeout(f"The upstream fell silent for {timeouts.idle:g} s.")
    if now - times.called_at >= timeouts.total:
        return TotalTimeout(f"The answer was not complete within {timeouts.total:g} s.")
    return None


def next_check(timeouts: Timeouts, times: Timestamps, now: float) -> float:
    """When something can be due at the earliest; each look before that would be for nothing.

    While nothing is stuck the slow client is looked for four times in its allowance, so that it
    is found at most a quarter late.
    """
    due = [
        times.called_at + timeouts.total,
        times.written_at + timeouts.ping,
        now + timeouts.slow_client / 4,
    ]
    if times.client_stuck_since is not None:
        due += [times.client_stuck_since + timeouts.slow_client, now + timeouts.idle / 4]
    else:
        due.append(times.data_at + timeouts.idle)
        if times.first_token_at is None:
            due.append(times.sent_at + timeouts.first_token)
    return max(min(due), now + _MIN_CHECK_SECONDS)
