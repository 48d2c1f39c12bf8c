"""Builds the rate-limit headers of a response, in OpenAI's and in Anthropic's format.

`x-ratelimit-*` (OpenAI, "Rate limits in headers"): resets are durations such as `6m0s`.
`anthropic-ratelimit-*` (Anthropic, "Response headers"): resets are RFC 3339 times.
"""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.state.limits import Figures, Limits


def limit_headers(
    limits: Limits, figures: Figures, *, anthropic: bool, now: datetime | None = None
) -> dict[str, str]:
    """Return the headers for the key's limits of requests and of tokens."""
    rows = (
        ("requests", limits.requests_per_minute, figures.requests_left, figures.requests_whole_in),
        ("tokens", limits.tokens_per_minute, figures.tokens_left, figures.tokens_whole_in),
    )
    headers: dict[str, str] = {}
    for kind, limit, remaining, whole_in in rows:
        if not limit or remaining is None:
            continue
        headers[f"x-ratelimit-limit-{kind}"] = str(limit)
        headers[f"x-ratelimit-remaining-{kind}"] = str(remaining)
        headers[f"x-ratelimit-reset-{kind}"] = duration(whole_in)
        if anthropic:
            reset_at = (now or datetime.now(UTC)) + timedelta(seconds=math.ceil(whole_in))
            headers[f"anthropic-ratelimit-{kind}-limit"] = str(limit)
            headers[f"anthropic-ratelimit-{kind}-remaining"] = str(remaining)
            headers[f"anthropic-ratelimit-{kind}-reset"] = reset_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return headers


def duration(seconds: float) -> str:
    """Format seconds as Go's `time.Duration.String` does, rounded up to milliseconds."""
    milliseconds = math.ceil(seconds * 1000)
    if milliseconds < 1000:
        return f"{milliseconds}ms" if milliseconds else "0s"
    minutes, milliseconds = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    text = f"{milliseconds / 1000:.3f}".rstrip("0").rstrip(".") + "s"
    if hours:
        return f"{hours}h{minutes}m{text}"
    return f"{minutes}m{text}" if minutes else text
