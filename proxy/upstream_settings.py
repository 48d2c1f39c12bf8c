"""What `SLUICE_UPSTREAMS` and `[[upstreams]]` may say of one upstream."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator

from proxy.key_settings import Secret
from proxy.setting_types import BaseUrl, Seconds, SecondsOrOff


class UpstreamSettings(BaseModel):
    """One upstream in `SLUICE_UPSTREAMS` or in the TOML file."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")
    url: BaseUrl
    api_key: Secret | None = None
    ca: str | None = None
    """Path of PEM certificates that its own may be signed by; unset: `SLUICE_UPSTREAM_CA`."""
    models: tuple[str, ...] = ("*",)
    """Globs of the models it serves."""
    rename: dict[str, str] = {}
    """The model's name there, by the name the client uses."""
    weight: float = Field(default=1.0, gt=0)
    priority: int = Field(default=0, ge=0)
    """The lowest tier with a healthy member is used."""
    max_streams: int | None = Field(default=None, ge=1)
    """Across all workers; unset: only the overall cap."""
    connect_timeout_seconds: Seconds | None = None
    first_token_timeout_seconds: SecondsOrOff | None = None
    idle_timeout_seconds: SecondsOrOff | None = None
    total_timeout_seconds: SecondsOrOff | None = None
    probe_path: str | None = Field(default=None, pattern=r"^/")
    """Asked with GET every `SLUICE_PROBE_INTERVAL_SECONDS`; unset: no active probe."""
    include_usage: bool | None = None
    """Whether usage is asked for on streams that do not; unset: `SLUICE_INCLUDE_USAGE`."""

    @property
    def ca_name(self) -> str:
        """What complaints call its `ca`."""
        return f"SLUICE_UPSTREAMS, {self.name}: ca"

    @model_validator(mode="after")
    def _ca_is_for_tls(self) -> UpstreamSettings:
        if self.ca is not None and self.url.scheme != "https":
            raise ValueError("ca is for an upstream whose url begins with https://")
        return self
