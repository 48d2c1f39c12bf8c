"""The appliance as operators run it: nginx, several workers, TLS; one for many tests."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tests.fixtures.ports import free_port
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway
from tests.nginx.pem import ONE

WORKERS = 2
ORIGIN = "https://app.example.com"


@dataclass(frozen=True)
class Appliance:
    """A running appliance in front of a demo upstream."""

    gateway: RunningGateway
    tls_port: int

    @property
    def url(self) -> str:
        """The public URL."""
        return self.gateway.url

    @property
    def tls_url(self) -> str:
        """The public URL by TLS, with the host name of its certificate."""
        return f"https://localhost:{self.tls_port}"

    @property
    def admin_url(self) -> str:
        """The URL of the admin port."""
        return self.gateway.admin_url

    def served_by(self) -> set[int]:
        """Return the numbers of the workers that have ended a request so far."""
        return {entry["worker"] for entry in list(self.gateway.process.ended.values())}


@contextmanager
def running(upstream: gateways.Upstream) -> Iterator[Appliance]:
    """Run an appliance with TLS and CORS switched on."""
    tls_port = free_port()
    with (
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
    """Return a client's TLS context that trusts only this certificate."""
    return ssl.create_default_context(cafile=ONE.certificate)
