"""How long an upstream asks to be left alone."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.upstream.retry_after import parse_retry_after

NOON = 1_750_075_200.0  # 2025-06-16 12:00:00 UTC


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "7"}, 7.0),
        ({"retry-after": " 7 "}, 7.0),
        ({"Retry-After": "0"}, 0.0),
        ({"Retry-After": "1.5"}, 1.5),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "inf"}, None),
        ({"Retry-After": "nan"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": ""}, None),
        ({"Retry-After": "Mon, 16 Jun 2025 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Monday, 16-Jun-25 12:00:30 GMT"}, 30.0),
        ({"Retry-After": "Mon Jun 16 12:00:30 2025"}, 30.0),
        ({"Retry-After": "Mon, 16 Jun 2025 11:00:00 GMT"}, 0.0),
        ({"Retry-After": "Mon, 16 Jun 99999 11:00:00 GMT"}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after-ms": "250", "Retry-After": "1"}, 0.25),
        ({"retry-after-ms": "x", "Retry-After": "1"}, 1.0),
    ],
)
def test_the_pause_in_seconds(fields: dict[str, str], seconds: float | None) -> None:
    """Seconds, HTTP dates in all three forms (RFC 9110, 5.6.7) and milliseconds."""
    assert parse_retry_after(CIMultiDict(fields), NOON) == seconds
