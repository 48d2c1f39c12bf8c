"""The longest silence that the workers' own timeouts allow; nginx must wait longer than that."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.effective_settings import effective

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.upstream_settings import UpstreamSettings

FOREVER = 30 * 86_400.0
"""Seconds; a timeout that is off allows any silence, and nginx has no value for that."""
MARGIN = 30.0
"""Seconds for the worker to send its error once its timeout has expired."""


def worker_silence(settings: Settings) -> float:
    """Seconds without a byte from a worker after which nginx may call it dead."""
    longest = max(
        _upstream_silence(settings, upstream) for upstream in settings.upstreams or (None,)
    )
    return min(FOREVER, settings.queue_timeout_seconds + longest + MARGIN)


def client_silence(settings: Settings) -> float:
    """Seconds without a byte taken by a client after which nginx may close; the worker is first."""
    timeout = settings.slow_client_timeout_seconds
    return timeout + MARGIN if timeout else FOREVER


def _upstream_silence(settings: Settings, upstream: UpstreamSettings | None) -> float:
    """The silence of one upstream's answers: bounded by the total timeout, else by the others."""
    own = effective(settings, upstream)
    if own.total_timeout:
        return own.total_timeout
    if not own.first_token_timeout or not own.idle_timeout:
        return FOREVER
    attempts = settings.retries + 1
    before_headers = own.connect_timeout + own.first_token_timeout
    return max(own.idle_timeout, attempts * (before_headers + settings.retry_after_cap_seconds))
