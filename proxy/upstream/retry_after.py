"""How long an upstream asks to be left alone."""

from __future__ import annotations

import math
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multidict import MultiMapping


def parse_retry_after(headers: MultiMapping[str], now: float) -> float | None:
    """Seconds from `retry-after-ms` (OpenAI, Azure) or `Retry-After` (RFC 9110, 10.2.3), or None.

    `now` is seconds of the wall clock, which an HTTP date is held against.
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
    """A number that is no less than nothing; some upstreams send fractions of a second."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and value >= 0 else None
