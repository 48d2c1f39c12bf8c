"""What is left of a key's limits, as header fields."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from proxy.edge.limit_headers import duration, limit_headers
from proxy.state.limits import Figures, Limits


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.0125, "13ms"), (1, "1s"), (1.5, "1.5s"), (360, "6m0s"), (3661.25, "1h1m1.25s")],
)
def test_a_duration(seconds: float, text: str) -> None:
    """As OpenAI's API writes it, and never too short."""
    assert duration(seconds) == text


def test_only_the_limits_that_a_key_has() -> None:
    """The other fields are left out, in both dialects."""
    figures = Figures(3, 12.5, None, 0, 1, 0, 0, 0)
    now = datetime(2027, 1, 1, tzinfo=UTC)
    limits = Limits(requests_per_minute=5)
    assert limit_headers(limits, figures, anthropic=True, now=now) == {
        "x-ratelimit-limit-requests": "5",
        "x-ratelimit-remaining-requests": "3",
        "x-ratelimit-reset-requests": "12.5s",
        "anthropic-ratelimit-requests-limit": "5",
        "anthropic-ratelimit-requests-remaining": "3",
        "anthropic-ratelimit-requests-reset": "2027-01-01T00:00:13Z",
    }
