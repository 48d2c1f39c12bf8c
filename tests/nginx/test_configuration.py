from __future__ import annotations

import re
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from proxy.appliance import nginx
from tests.nginx.front import Front
from tests.nginx.pem import ONE

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

TLS: dict[str, Any] = {"tls_certificate": ONE.certificate, "tls_key": ONE.key}
SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "tls": TLS,
    "any-origin": {"cors_origins": ("*",)},
    "some-origins": {
        "cors_origins": ("https://a.example", "http://localhost:3000", "HTTPS://A.example", "null")
    },
    "all-addresses": {"listen_address": "0.0.0.0"},
    "all-of-both-kinds": {"listen_address": "::"} | TLS,
    "ipv6": {"listen_address": "::1"} | TLS,
    "many": {"workers": 64, "nginx_workers": 4, "max_streams": 100_000} | TLS,
    "quiet": {"access_log": "off", "log_level": "error"},
    "clocks-off": {
        "first_token_timeout_seconds": 0,
        "total_timeout_seconds": 0,
        "slow_client_timeout_seconds": 0,
    },
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS.keys())
def test_nginx_accepts_it(program: NginxProgram, settings: dict[str, Any]) -> None:
    """Every nginx of this machine takes the rendered files without so much as a warning."""
    front = Front(program, **settings)
    front.render()
    assert nginx.complaint(program, front.run) is None
    command = nginx.process_spec(program, front.run).command
    output = subprocess.run([*command, "-t"], capture_output=True, text=True, check=True).stderr
    assert "[warn]" not in output


def test_every_name_is_filled_in_and_nginx_keeps_its_own(program: NginxProgram) -> None:
    """No `${NAME}` is left after rendering, and nginx's own variables are still there."""
    front = Front(program, **TLS)
    front.render()
    text = "".join(path.read_text() for path in front.run.path.rglob("*.conf"))
    assert not re.search(r"\$\{[A-Z]", text)
    assert "$http_x_request_id" in text
