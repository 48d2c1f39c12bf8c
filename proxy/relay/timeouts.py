"""Decides which timeout of a running stream has expired; pure functions of times."""

from __future__ import annotations

import math
from dataclasses import dataclass

from proxy.effective_upstream_settings import effective
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
    """Time limits in seconds; `inf` means none."""

    connect: float
    first_token: float
    idle: float
    total: float
    slow_client: float
    ping: float

    @classmethod
    def of(cls, settings: Settings, upstream: UpstreamSettings | None = None) -> Timeouts:
        """Return the timeouts for this upstream's responses; by default the general ones."""
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
    """Times of a stream's events, in seconds of `time.monotonic()`."""

    called_at: float
    """When the upstream was first called."""
    sent_at: float
    """When the request had been sent, from when the first token is awaited."""
    first_token_at: float | None
    data_at: float
    """When the last data event was received, or reading was last paused for the client."""
    written_at: float
    """When something was last written to the client, pings included."""
    client_stuck_since: float | None
    """Since when the client has not read waiting bytes; None while it reads."""


def expired_timeout(timeouts: Timeouts, times: Timestamps, now: float) -> SluiceError | None:
    """Return the timeout that has expired, or None; a slow client comes first."""
    if times.client_stuck_since is not None:
        if now - times.client_stuck_since >= timeouts.slow_client:
            return SlowClient(f"The client read nothing for {timeouts.slow_client:g} s.")
    elif times.first_token_at is None and now - times.sent_at >= timeouts.first_token:
        return FirstTokenTimeout(f"The upstream sent no token within {timeouts.first_token:g} s.")
    elif now - times.data_at >= timeouts.idle:
        return IdleTimeout(f"The upstream sent nothing for {timeouts.idle:g} s.")
    if now - times.called_at >= timeouts.total:
        return TotalTimeout(f"The answer was not complete within {timeouts.total:g} s.")
    return None


def next_check(timeouts: Timeouts, times: Timestamps, now: float) -> float:
    """Return the earliest time at which a timeout or a ping can be due.

    A slow client is checked for four times per its timeout, so that it is detected at most a
    quarter late.
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
