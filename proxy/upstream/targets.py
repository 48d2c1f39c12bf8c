"""The upstreams as configured."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.effective_settings import effective
from proxy.upstream.address import Base
from proxy.upstream.trust import TrustStores

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from proxy.settings import Settings
    from proxy.upstream_settings import UpstreamSettings

DEFAULT_NAME = "default"
"""The upstream of `SLUICE_UPSTREAM_URL`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream as this worker sees it; times in seconds."""

    name: str
    base: Base
    api_key: str = field(default="", repr=False)
    """Sent instead of any key of the client's; empty: the client's goes."""
    forgets_client: bool = False
    """The client's key is meant for the gateway, so it never goes on."""
    models: re.Pattern[str] | None = None
    """What it serves; None: everything."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """The model's name there, by the name the client uses."""
    weight: float = 1.0
    priority: int = 0
    max_streams: int | None = None
    """This worker's share; None: only the overall cap."""
    connect_timeout: float = 10.0
    first_token_timeout: float = 0.0
    """0: none."""
    probe_path: str = ""
    """Empty: no active probe."""
    include_usage: bool = True
    """Whether usage may be asked for on the client's behalf."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """What verifies it; None: whom the system trusts."""

    def serves(self, model: str) -> bool:
        """Whether a model can be had here; a request that names none can go anywhere."""
        if not model or self.models is None or model in self.rename:
            return True
        return self.models.match(model) is not None


def targets_of(
    settings: Settings, trust: TrustStores | None = None, *, workers: int = 1, index: int = 0
) -> tuple[Target, ...]:
    """All upstreams, with the share of their limits that falls to worker `index` of `workers`.

    Raises `ValueError` if the settings name no upstream at all, or a CA file that is none.
    """
    forgets = bool(settings.all_keys)
    trust = trust or TrustStores()
    common = trust.context("SLUICE_UPSTREAM_CA", settings.upstream_ca)
    if settings.upstreams:
        return tuple(
            _target(
                upstream,
                settings,
                trust.context(upstream.ca_name, upstream.ca) or common,
                workers,
                index,
            )
            for upstream in settings.upstreams
        )
    if settings.upstream_url is None:
        raise ValueError("There is no upstream: set SLUICE_UPSTREAM_URL or SLUICE_UPSTREAMS.")
    key = settings.upstream_api_key
    alone = Target(
        DEFAULT_NAME,
        Base.of(str(settings.upstream_url)),
        key.get_secret_value() if key else "",
        forgets,
        connect_timeout=settings.connect_timeout_seconds,
        first_token_timeout=settings.first_token_timeout_seconds,
        include_usage=settings.include_usage,
        tls=common,
    )
    return (alone,)


def _target(
    upstream: UpstreamSettings,
    settings: Settings,
    tls: ssl.SSLContext | None,
    workers: int,
    index: int,
) -> Target:
    own = effective(settings, upstream)
    return Target(
        upstream.name,
        Base.of(str(upstream.url)),
        upstream.api_key.get_secret_value() if upstream.api_key else "",
        bool(settings.all_keys),
        _any_of(upstream.models),
        upstream.rename,
        upstream.weight,
        upstream.priority,
        _share(upstream.max_streams, workers, index),
        own.connect_timeout,
        own.first_token_timeout,
        upstream.probe_path or "",
        own.include_usage,
        tls,
    )


def _any_of(globs: tuple[str, ...]) -> re.Pattern[str] | None:
    if "*" in globs:
        return None
    return re.compile("|".join(fnmatch.translate(glob) for glob in globs) or r"(?!)")


def _share(total: int | None, workers: int, index: int) -> int | None:
    """Shares add up to the total; yet no worker is left without any, for it has clients too."""
    if total is None:
        return None
    each, rest = divmod(total, workers)
    return max(1, each + (index < rest))
