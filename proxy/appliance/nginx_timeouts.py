"""The longest silence that the workers' own timeouts allow; nginx must wait longer than that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.upstream_settings import UpstreamSettings

# A timeout that is off allows any silence; nginx has no word for that.
FOREVER = 30 * 86_400.0
# For the worker to say what it has to say once its timeout has expired.
MARGIN = 30.0


def worker_silence(settings: Settings) -> float:
    """Seconds without a byte from a worker after which nginx may call it dead."""
    longest = max(_upstream_silence(settings, one) for one in settings.upstreams or (None,))
    return min(FOREVER, settings.queue_timeout_seconds + longest + MARGIN)


def client_silence(settings: Settings) -> float:
    """Seconds without a byte taken by a client after which nginx may close; the worker is first."""
    clock = settings.slow_client_timeout_seconds
    return clock + MARGIN if clock else FOREVER


def _upstream_silence(settings: Settings, upstream: UpstreamSettings | None) -> float:
    """The silence of one upstream's answers: bounded by the total timeout, else by the others."""
    connect = _clock(settings, upstream, "connect_timeout_seconds")
    first = _clock(settings, upstream, "first_token_timeout_seconds")
    idle = _clock(settings, upstream, "idle_timeout_seconds")
    total = _clock(settings, upstream, "total_timeout_seconds")
    if total:
        return total
    if not first or not idle:
        return FOREVER
    attempts = settings.retries + 1
    return max(idle, attempts * (connect + first + settings.retry_after_cap_seconds))


def _clock(settings: Settings, upstream: UpstreamSettings | None, name: str) -> float:
    own: float | None = None if upstream is None else getattr(upstream, name)
    overall: float = getattr(settings, name)
    return overall if own is None else own
