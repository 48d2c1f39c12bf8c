"""What a key has used and has left, for people."""

from __future__ import annotations

from pydantic import SecretStr

from proxy.edge.key_report import limits_report
from proxy.key_settings import KeySettings
from proxy.state.limits import Figures

KEY = KeySettings(
    name="one",
    key=SecretStr("sk-1"),
    requests_per_minute=10,
    tokens_per_minute=100,
    max_streams=4,
    budget_usd=2.5,
    budget_period="day",
)


def test_each_limit_with_what_is_left() -> None:
    """Never the key."""
    report = limits_report(KEY, Figures(7, 1.0, 40, 1.0, 1, 1.5, 0.0, 3600.0))
    assert report == {
        "requests_per_minute": {"limit": 10, "used": 3, "left": 7},
        "tokens_per_minute": {"limit": 100, "used": 60, "left": 40},
        "max_streams": {"limit": 4, "used": 1, "left": 3},
        "budget_usd": {
            "limit": 2.5,
            "used": 1.5,
            "left": 1.0,
            "period": "day",
            "ends_in_seconds": 3600,
        },
    }
    assert "sk-1" not in str(report)


def test_a_store_that_says_nothing() -> None:
    """What there is is told, and nothing made up."""
    report = limits_report(KEY, None)
    assert report["requests_per_minute"] == {"limit": 10, "used": None, "left": None}


def test_a_key_without_limits() -> None:
    """It has nothing to be counted."""
    assert limits_report(KeySettings(name="free", key=SecretStr("sk-2")), None) == {}
