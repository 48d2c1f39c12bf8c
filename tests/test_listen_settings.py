from __future__ import annotations

import pytest
from pydantic import ValidationError

from proxy.settings import Settings


def test_trusted_proxies_are_addresses_and_networks() -> None:
    """Separated by commas; a network may be named by any address in it."""
    named = Settings.model_validate({"trusted_proxies": "10.1.2.3/8, 192.0.2.1 ,2001:db8::/32"})
    assert named.trusted_proxies == ("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"trusted_proxies": "balancer.example"}, "10.0.0.0/8"),
        ({"trusted_proxies": "10.0.0.0/33"}, "10.0.0.0/8"),
        ({"proxy_protocol": True}, "SLUICE_TRUSTED_PROXIES"),
        ({"tls_client_ca": "/ca.pem"}, "SLUICE_TLS_CERTIFICATE"),
        ({"tls_key": "/k.pem"}, "SLUICE_TLS_CERTIFICATE"),
    ],
)
def test_what_makes_no_sense_is_refused(given: dict[str, object], named: str) -> None:
    """The words say what would be right."""
    with pytest.raises(ValidationError, match=named):
        Settings.model_validate(given)


@pytest.mark.parametrize(
    ("listens", "plain"),
    [("0.0.0.0", "127.0.0.1"), ("10.0.0.5", "127.0.0.1"), ("::", "::1")],
)
def test_the_plain_port_is_no_way_around_client_certificates(listens: str, plain: str) -> None:
    """Where they are asked for, it serves this machine alone; else whoever it is meant for."""
    tls = {"tls_certificate": "/c.pem", "tls_key": "/k.pem", "listen_address": listens}
    assert Settings.model_validate(tls).plain_address == listens
    assert Settings.model_validate({**tls, "tls_client_ca": "/ca.pem"}).plain_address == plain
