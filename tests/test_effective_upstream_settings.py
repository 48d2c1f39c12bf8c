"""An upstream's own value goes before the common one."""

from __future__ import annotations

import pytest

from proxy.effective_upstream_settings import EffectiveUpstreamSettings, effective
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

COMMON = Settings(
    upstream_url="http://127.0.0.1:9",
    connect_timeout_seconds=1,
    first_token_timeout_seconds=2,
    idle_timeout_seconds=3,
    total_timeout_seconds=4,
    include_usage=True,
)


def upstream(**own: object) -> UpstreamSettings:
    return UpstreamSettings.model_validate({"name": "a", "url": "http://127.0.0.1:9", **own})


def test_without_values_of_its_own_the_common_ones_hold() -> None:
    """Also for the upstream of SLUICE_UPSTREAM_URL, which has no settings of its own."""
    common = EffectiveUpstreamSettings(1, 2, 3, 4, include_usage=True)
    assert effective(COMMON) == effective(COMMON, upstream()) == common


@pytest.mark.parametrize(
    ("name", "value", "field"),
    [
        ("connect_timeout_seconds", 7.0, "connect_timeout"),
        ("first_token_timeout_seconds", 7.0, "first_token_timeout"),
        ("idle_timeout_seconds", 7.0, "idle_timeout"),
        ("total_timeout_seconds", 7.0, "total_timeout"),
        ("first_token_timeout_seconds", 0.0, "first_token_timeout"),
        ("idle_timeout_seconds", 0.0, "idle_timeout"),
        ("total_timeout_seconds", 0.0, "total_timeout"),
        ("include_usage", False, "include_usage"),
    ],
)
def test_one_value_of_its_own(name: str, value: float, field: str) -> None:
    """It holds, also where it says "off"; every other value stays the common one."""
    own = effective(COMMON, upstream(**{name: value}))
    common = effective(COMMON)
    changed = {slot for slot in own.__slots__ if getattr(own, slot) != getattr(common, slot)}
    assert changed == {field}
    assert getattr(own, field) == value
