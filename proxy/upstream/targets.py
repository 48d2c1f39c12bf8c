"""The configuration of each upstream, derived from the settings."""

from __future__ import annotations

import fnmatch
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from proxy.effective_upstream_settings import effective
from proxy.upstream.tls_trust import TrustStores
from proxy.upstream.upstream_url import BaseUrl

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from proxy.settings import Settings
    from proxy.upstream_settings import UpstreamSettings

DEFAULT_NAME = "default"
"""The name of the upstream of `SLUICE_UPSTREAM_URL`."""


@dataclass(frozen=True, slots=True)
class Target:
    """One upstream's configuration in this worker; times in seconds."""

    name: str
    base: BaseUrl
    api_key: str = field(default="", repr=False)
    """Sent instead of the client's key; empty to pass the client's on."""
    forgets_client: bool = False
    """Whether clients' keys are for the gateway, and never passed on."""
    models: re.Pattern[str] | None = None
    """The models it serves; None: all."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """The upstream's model names, by the client's."""
    weight: float = 1.0
    priority: int = 0
    max_streams: int | None = None
    """This worker's share of the limit; None: no limit of its own."""
    connect_timeout: float = 10.0
    first_token_timeout: float = 0.0
    """0: none."""
    probe_path: str = ""
    """Empty: no active probe."""
    include_usage: bool = True
    """Whether Sluice may request usage on its own behalf."""
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    """The TLS context; None: the system's trust store."""

    def serves(self, model: str) -> bool:
        """Whether it serves a model; a request without one can go to any upstream."""
        if not model or self.models is None or model in self.rename:
            return True
        return self.models.match(model) is not None


def targets_of(
    settings: Settings, trust: TrustStores | None = None, *, workers: int = 1, index: int = 0
) -> tuple[Target, ...]:
    """Return all upstreams, with the share of their limits of worker `index` of `workers`.

    Raises `ValueError` if the settings name no upstream, or an invalid CA file.
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
        BaseUrl.of(str(settings.upstream_url)),
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
        BaseUrl.of(str(upstream.url)),
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
    """Return a worker's share of the total, at least 1."""
    if total is None:
        return None
    each, rest = divmod(total, workers)
    return max(1, each + (index < rest))
