"""Defines every setting once: its name, type, default, bounds and description.

The table in docs/settings.md is generated from these definitions. `proxy.config` reads the settings
from the environment, files and TOML; this module does no I/O.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, SecretStr, field_validator, model_validator
from pydantic_settings import NoDecode

from proxy import store_address
from proxy.key_settings import (
    KeyDefaults,
    KeyName,
    KeySettings,
    Secret,
    all_keys,
    unless_a_key,
)
from proxy.listen_settings import ListenSettings
from proxy.resume_settings import ResumeSettings
from proxy.setting_types import (
    BaseUrl,
    Bytes,
    Count,
    Origin,
    PathPrefix,
    Seconds,
    SecondsOrOff,
    listed,
)
from proxy.upstream_settings import UpstreamSettings


class Settings(ListenSettings, ResumeSettings):
    """All settings; frozen after the start."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)

    # Upstreams.
    upstream_url: BaseUrl | None = Field(
        None,
        description="the upstream's base URL, as an SDK takes it; a path in it replaces the "
        "client's `/v1`; unset: the embedded demo upstream",
    )
    upstream_api_key: Secret | None = Field(
        None, description="key that is sent instead of the client's, which is then never passed on"
    )
    upstreams: tuple[UpstreamSettings, ...] = Field(
        (), description="several upstreams, as a JSON list: name, url, api_key, models, weight, …"
    )
    pool_connections: Count = Field(
        0, description="limit of each worker's connections to upstreams; 0: no limit of its own"
    )
    upstream_connection_max_age_seconds: SecondsOrOff = Field(
        300,
        description="age from which a connection to an upstream is not reused, so that DNS "
        "changes are followed; 0: no limit",
    )
    upstream_ca: str | None = Field(
        None,
        description="path of PEM certificates of CAs to trust for upstreams, besides the "
        "system's; certificates are always verified",
    )
    fast_path: bool = Field(
        True, description="let event streams bypass the HTTP parser; false: relay them through it"
    )
    forward_client_address: bool = Field(
        False,
        description="tell upstreams the client's address and the requested host: "
        "`X-Forwarded-For`, `X-Forwarded-Host`, `X-Real-IP`, `Forwarded` and the like",
    )
    include_usage: bool = Field(
        True, description="request usage on chat streams that do not, and hide it from the client"
    )

    # Capacity.
    max_streams: int = Field(
        1000,
        ge=1,
        le=1_000_000,
        description="concurrent requests, over all workers; unset: fewer if the memory is small",
    )
    queue_size: Count = Field(
        1000, description="requests that may wait for a slot, over all workers"
    )
    queue_timeout_seconds: Seconds = Field(30, description="longest wait for a slot")
    max_body_bytes: int = Field(
        32 * 1024 * 1024, ge=1024, le=2**31, description="largest request body"
    )
    memory_bytes: Bytes = Field(
        0,
        description="memory that workers, slots and bodies are sized for if they are not set; "
        "0: the container's limit, else the machine's memory",
    )
    body_memory_bytes: Bytes = Field(
        0,
        description="memory for request bodies, over all workers; beyond it requests wait, then "
        "get 503; 0: up to a quarter of the memory, at most 128 MiB per worker",
    )
    body_timeout_seconds: Seconds = Field(
        60,
        description="time to receive a body; each 4 KiB received extend it by a second, to at "
        "most this long from then on",
    )
    header_timeout_seconds: Seconds = Field(
        20, description="time to receive a whole request head, from the opening of the connection"
    )

    # Timeouts.
    connect_timeout_seconds: Seconds = Field(10, description="time to connect to an upstream")
    first_token_timeout_seconds: SecondsOrOff = Field(
        300, description="time from the sent request to the first token; 0: off"
    )
    idle_timeout_seconds: SecondsOrOff = Field(
        120, description="time between two data events of an upstream; 0: off"
    )
    total_timeout_seconds: SecondsOrOff = Field(3600, description="time for a whole answer; 0: off")
    slow_client_timeout_seconds: SecondsOrOff = Field(
        60, description="time in which a client that reads nothing is waited for; 0: off"
    )

    # Before the commit.
    ping_interval_seconds: SecondsOrOff = Field(
        15, description="time between pings on a silent stream; 0: no pings"
    )
    commit_after_seconds: SecondsOrOff = Field(
        15, description="silence of the upstream before a 200 is sent, with pings; 0: never"
    )
    retries: int = Field(2, ge=0, le=10, description="further attempts before the commit")
    retry_on_500: bool = Field(False, description="whether a 500 is retried")
    retry_after_cap_seconds: SecondsOrOff = Field(
        10, description="longest `Retry-After` of an upstream that is honored by waiting"
    )
    eject_after_failures: int = Field(
        5, ge=1, le=1000, description="consecutive failures that eject an upstream"
    )
    eject_failure_rate: float = Field(
        0.5, gt=0, le=1, description="share of failures that ejects an upstream"
    )
    eject_seconds: Seconds = Field(
        10, description="first ejection of an upstream; doubled each time"
    )
    probe_interval_seconds: Seconds = Field(10, description="time between active health checks")

    # After the commit.
    on_client_left: Literal["cancel", "drain", "grace"] = Field(
        "cancel",
        description="what happens to the upstream call: cancel it, drain it, or read on for a "
        "grace time",
    )
    grace_seconds: Seconds = Field(
        30, description="how long `grace` reads on, and a resumable stream runs without a reader"
    )
    lame_duck_seconds: SecondsOrOff = Field(
        0,
        description="how long new requests are still served after SIGTERM while `/readyz` is 503, "
        "so that load balancers notice it in time; 0: not at all",
    )
    drain_seconds: SecondsOrOff = Field(
        300, description="how long running streams may go on after SIGTERM"
    )

    # Clients.
    cors_origins: Annotated[tuple[Origin, ...], NoDecode] = Field(
        (), description="origins of pages that browsers may call from, separated by commas, or `*`"
    )
    cors_credentials: bool = Field(
        False,
        description="let pages of these origins send cookies; not allowed with `*`, which would "
        "include any page",
    )
    paths: Annotated[tuple[PathPrefix, ...], NoDecode] = Field(
        (),
        description="further path prefixes that are relayed, separated by commas, such as "
        "`/openai/v1,/v2`; `/v1` and `/v1beta` always are",
    )
    client_keys: dict[KeyName, Secret] = Field(
        {}, description="client keys as a JSON object of names to keys; unset: any client is let in"
    )

    keys: tuple[KeySettings, ...] = Field(
        (),
        description="keys with rights and limits, as a JSON list: name, key or sha256, models, "
        "routes, requests_per_minute, tokens_per_minute, max_streams, budget_usd, …",
    )
    key_defaults: KeyDefaults = Field(
        default_factory=KeyDefaults,
        description="values for all of SLUICE_KEYS that do not set their own",
    )

    # The store of limits and stream logs.
    store_url: SecretStr | None = Field(
        None,
        description="`redis://`, `rediss://`, `unix://`, `redis+sentinel://` or `redis+cluster://` "
        "URL of a Redis or Valkey that machines share; `off`: none; unset: an embedded one, "
        "started when something needs it",
    )
    store_timeout_seconds: float = Field(
        0.05, ge=0.001, le=10, description="how long a request waits for the store"
    )
    store_memory_bytes: int = Field(
        256 * 1024 * 1024,
        ge=8 * 1024 * 1024,
        le=2**40,
        description="memory limit of the embedded store",
    )
    limits_without_store: Literal["open", "closed"] = Field(
        "open",
        description="while the store is away, keys with limits are let in uncounted (open) or "
        "refused with 503 (closed)",
    )

    # Logs, metrics and pages.
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="log level")
    log_format: Literal["json", "console"] = Field(
        "json", description="json, or console for reading"
    )
    access_log: Literal["all", "own", "off"] = Field(
        "all",
        description="what nginx logs besides the workers: all requests, its own answers, or "
        "nothing",
    )
    prices: str | None = Field(None, description="path of a TOML or JSON file of prices")
    playground: Literal["auto", "on", "off"] = Field(
        "auto",
        description="the page at /playground/; auto: on with the demo upstream",
    )
    metrics_models: int = Field(
        100,
        ge=1,
        le=10_000,
        description="number of model names that metrics distinguish; the rest is `other`",
    )

    @property
    def has_upstream_key(self) -> bool:
        """Whether some upstream is called with the operator's own key."""
        return self.upstream_api_key is not None or any(
            upstream.api_key is not None for upstream in self.upstreams
        )

    @field_validator("cors_origins", "paths", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        return listed(value)

    @field_validator("store_url")
    @classmethod
    def _readable_store_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and url.get_secret_value() != store_address.OFF:
            store_address.parse(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _belongs_together(self) -> Settings:
        if self.cors_credentials and "*" in self.cors_origins:
            raise ValueError(
                "SLUICE_CORS_CREDENTIALS needs named origins: SLUICE_CORS_ORIGINS is *"
            )
        if self.upstreams and self.upstream_url is not None:
            raise ValueError("set SLUICE_UPSTREAM_URL or SLUICE_UPSTREAMS, not both")
        names = [upstream.name for upstream in self.upstreams]
        if len(names) != len(set(names)):
            raise ValueError("two upstreams in SLUICE_UPSTREAMS have the same name")
        try:
            keys = self.all_keys
        except ValueError as error:
            raise ValueError(f"{self._key_settings}: {error}") from None
        if not keys and self._key_settings:
            raise ValueError(
                f"{self._key_settings} is set and contains no key; "
                "unset it to let any client in, or name a key"
            )
        for key in keys:
            if key.upstream is not None and key.upstream not in names:
                raise ValueError(
                    f"SLUICE_KEYS: {key.name!r} names the upstream "
                    f"{unless_a_key(key.upstream)!r}; SLUICE_UPSTREAMS has "
                    f"{', '.join(names) or 'none'}"
                )
        return self

    @property
    def _key_settings(self) -> str:
        """The names of those settings of client keys that are set."""
        names = [name for name in ("client_keys", "keys") if name in self.model_fields_set]
        return " and ".join(f"SLUICE_{name.upper()}" for name in names)

    @property
    def all_keys(self) -> tuple[KeySettings, ...]:
        """All client keys, including the short form's; empty: any client is let in."""
        return all_keys(self.keys, self.key_defaults, self.client_keys)
