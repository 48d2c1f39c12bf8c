"""Derives nginx's timeouts: longer than any silence that the workers' own timeouts allow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.effective_upstream_settings import effective

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.upstream_settings import UpstreamSettings

FOREVER = 30 * 86_400.0
"""Seconds; stands for "no timeout", which nginx cannot express."""
MARGIN = 30.0
"""Seconds for the worker to send its error after its timeout."""


def worker_silence(settings: Settings) -> float:
    """Return the seconds without a byte from a worker after which nginx gives up."""
    longest = max(
        _upstream_silence(settings, upstream) for upstream in settings.upstreams or (None,)
    )
    return min(FOREVER, settings.queue_timeout_seconds + longest + MARGIN)


def client_silence(settings: Settings) -> float:
    """Return the seconds without progress towards a client after which nginx closes."""
    timeout = settings.slow_client_timeout_seconds
    return timeout + MARGIN if timeout else FOREVER


def _upstream_silence(settings: Settings, upstream: UpstreamSettings | None) -> float:
    """Return the longest silence of an upstream: the total timeout's, else the others'."""
    own = effective(settings, upstream)
    if own.total_timeout:
        return own.total_timeout
    if not own.first_token_timeout or not own.idle_timeout:
        return FOREVER
    attempts = settings.retries + 1
    before_headers = own.connect_timeout + own.first_token_timeout
    return max(own.idle_timeout, attempts * (before_headers + settings.retry_after_cap_seconds))
