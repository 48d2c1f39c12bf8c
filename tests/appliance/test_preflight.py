from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

from proxy.appliance.monitor import CannotStart
from proxy.appliance.preflight import preflight
from proxy.appliance.run_directory import run_directory
from proxy.settings import Settings
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from pathlib import Path


def settings(**more: Any) -> Settings:
    """Settings with free ports."""
    own = {"listen_port": free_port(), "admin_port": free_port()}
    return Settings(**{"listen_address": "127.0.0.1", "admin_address": "127.0.0.1", **own, **more})


def test_all_is_made_before_anything_starts() -> None:
    """With good settings there is an nginx and its configuration."""
    with run_directory() as run:
        assert preflight(settings(), run).version >= (1, 22)
        assert run.nginx_conf.exists()


def test_all_taken_ports_are_said_at_once() -> None:
    """Who has to change two ports learns of both."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_server(("127.0.0.1", 0)) as two,
        run_directory() as run,
    ):
        taken = settings(listen_port=listener.getsockname()[1], admin_port=two.getsockname()[1])
        with pytest.raises(CannotStart, match=r"(?s)SLUICE_LISTEN_PORT.*SLUICE_ADMIN_PORT"):
            preflight(taken, run)


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ({"nginx_path": "/no/such/nginx"}, "No nginx 1.22 or newer: /no/such/nginx"),
        ({"tls_certificate": "/no/c.pem", "tls_key": "/no/k.pem"}, "/no/c.pem"),
        ({"tls_certificate": '/no/"c.pem', "tls_key": "/no/k.pem"}, "SLUICE_TLS_CERTIFICATE"),
        ({"upstream_ca": "/no/ca.pem"}, "SLUICE_UPSTREAM_CA: '/no/ca.pem' cannot be read"),
        (
            {"upstreams": [{"name": "a", "url": "https://h", "ca": "/no/ca.pem"}]},
            "SLUICE_UPSTREAMS, a: ca: '/no/ca.pem' cannot be read",
        ),
    ],
)
def test_what_nginx_cannot_use_is_explained(more: dict[str, Any], reason: str) -> None:
    """No nginx, no certificate, or a name that cannot be written down."""
    with run_directory() as run, pytest.raises(CannotStart, match=reason):
        preflight(settings(**more), run)


def test_two_settings_with_the_same_port_are_refused(tmp_path: Path) -> None:
    """The public and the admin port cannot be one."""
    port = free_port()
    with run_directory() as run, pytest.raises(CannotStart, match="SLUICE_ADMIN_PORT"):
        preflight(settings(listen_port=port, admin_port=port), run)
