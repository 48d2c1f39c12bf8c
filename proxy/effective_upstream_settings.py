"""The effective settings of one upstream: its own value if it has one, else the common one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from proxy.settings import Settings
    from proxy.upstream_settings import UpstreamSettings

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class EffectiveUpstreamSettings:
    """The settings that each upstream can override; times in seconds, 0: off."""

    connect_timeout: float
    first_token_timeout: float
    idle_timeout: float
    total_timeout: float
    include_usage: bool


def effective(
    settings: Settings, upstream: UpstreamSettings | None = None
) -> EffectiveUpstreamSettings:
    """Return an upstream's settings; without an upstream, the common ones."""
    common = EffectiveUpstreamSettings(
        settings.connect_timeout_seconds,
        settings.first_token_timeout_seconds,
        settings.idle_timeout_seconds,
        settings.total_timeout_seconds,
        settings.include_usage,
    )
    if upstream is None:
        return common
    return EffectiveUpstreamSettings(
        _either(upstream.connect_timeout_seconds, common.connect_timeout),
        _either(upstream.first_token_timeout_seconds, common.first_token_timeout),
        _either(upstream.idle_timeout_seconds, common.idle_timeout),
        _either(upstream.total_timeout_seconds, common.total_timeout),
        _either(upstream.include_usage, common.include_usage),
    )


def _either(own: _T | None, common: _T) -> _T:
    """Return the own value, which may be 0 or False, unless it is None."""
    return common if own is None else own
