"""The appliance as operators run it: nginx, several workers, TLS; started once for many tests."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fixtures.ports import free_port
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway
from tests.nginx.pem import ONE

WORKERS = 3
ORIGIN = "https://app.example.com"


@dataclass(frozen=True)
class Appliance:
    """A running appliance before a demo upstream."""

    gateway: RunningGateway
    tls_port: int

    @property
    def url(self) -> str:
        """Where clients come."""
        return self.gateway.url

    @property
    def tls_url(self) -> str:
        """Where they come by TLS, under the name that its certificate has."""
        return f"https://localhost:{self.tls_port}"

    @property
    def admin_url(self) -> str:
        """Where operators come."""
        return self.gateway.admin_url

    def served_by(self) -> set[int]:
        """The workers that have ended a request so far."""
        return {entry["worker"] for entry in list(self.gateway.process.ended.values())}


@contextmanager
def running() -> Iterator[Appliance]:
    """Start it; everything that a client may need is switched on."""
    tls_port = free_port()
    with (
        gateways.upstream() as upstream,
        gateways.appliance(
            upstream,
            workers=WORKERS,
            tls_port=tls_port,
            tls_certificate=ONE.certificate,
            tls_key=ONE.key,
            cors_origins=ORIGIN,
            retries=0,
            eject_after_failures=1000,
            eject_failure_rate=1,
            drain_seconds=1,
            log_format="json",
        ) as gateway,
    ):
        yield Appliance(gateway, tls_port)


def trusting() -> ssl.SSLContext:
    """A client that trusts its certificate, and no other."""
    return ssl.create_default_context(cafile=ONE.certificate)
