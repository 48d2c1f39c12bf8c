"""The settings of one upstream: an entry of `SLUICE_UPSTREAMS` or `[[upstreams]]`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from proxy.key_settings import Secret
from proxy.setting_types import BaseUrl, Seconds, SecondsOrOff


class UpstreamSettings(BaseModel):
    """One upstream."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    url: BaseUrl
    api_key: Secret | None = None
    ca: str | None = None
    """The path of PEM certificates of CAs to trust for it; unset: `SLUICE_UPSTREAM_CA`."""
    models: tuple[str, ...] = ("*",)
    """Globs of the models that it serves."""
    rename: dict[str, str] = {}
    """The upstream's name for a model, by the name that clients use."""
    weight: float = Field(default=1.0, gt=0)
    priority: int = Field(default=0, ge=0)
    """Its tier; the lowest tier with a healthy upstream is used."""
    max_streams: int | None = Field(default=None, ge=1)
    """The limit over all workers; unset: only `SLUICE_MAX_STREAMS` applies."""
    connect_timeout_seconds: Seconds | None = None
    first_token_timeout_seconds: SecondsOrOff | None = None
    idle_timeout_seconds: SecondsOrOff | None = None
    total_timeout_seconds: SecondsOrOff | None = None
    probe_path: str | None = Field(default=None, pattern=r"^/")
    """The path of health checks, every `SLUICE_PROBE_INTERVAL_SECONDS`; unset: none."""
    include_usage: bool | None = None
    """Whether Sluice requests usage where clients do not; unset: `SLUICE_INCLUDE_USAGE`."""

    @property
    def ca_name(self) -> str:
        """The name of its `ca` in messages."""
        return f"SLUICE_UPSTREAMS, {self.name}: ca"

    @model_validator(mode="after")
    def _ca_is_for_tls(self) -> UpstreamSettings:
        if self.ca is not None and self.url.scheme != "https":
            raise ValueError("ca is for an upstream whose url begins with https://")
        return self
