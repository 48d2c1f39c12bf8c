"""Which fields tell who the client is."""

from __future__ import annotations

import pytest

from proxy.upstream.client_address import tells_client


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-For",
        "x_forwarded_for",
        "X-Forwarded-Host",
        "X-Forwarded",
        "X-Forwarded-Client-Cert",
        "Forwarded",
        "Forwarded-For",
        "X-Original-Forwarded-For",
        "X-Vercel-Forwarded-For",
        "X-Real-IP",
        "X-Client-IP",
        "Client-IP",
        "X-Cluster-Client-IP",
        "WL-Proxy-Client-IP",
        "True-Client-IP",
        "Fastly-Client-IP",
        "Fly-Client-IP",
        "X-Azure-ClientIP",
        "X-Azure-SocketIP",
        "CF-Connecting-IP",
        "CF-Connecting-IPv6",
        "CF-IPCountry",
        "DO-Connecting-IP",
        "X-Appengine-User-IP",
        "X-ProxyUser-Ip",
        "X-Remote-Addr",
        "X-Remote-IP",
        "X-Originating-IP",
        "X-Envoy-External-Address",
        "X-Original-Host",
        "X-NF-Client-Connection-IP",
        "X-Host",
    ],
)
def test_a_field_that_tells_it(name: str) -> None:
    """Whoever in front has set it."""
    assert tells_client(name)


@pytest.mark.parametrize(
    "name",
    [
        "X-Forwarded-Proto",
        "X-Forwarded-Port",
        "User-Agent",
        "X-Request-ID",
        "X-Client-Version",
        "x-stainless-os",
        "OpenAI-Organization",
        "Content-Type",
    ],
)
def test_a_field_that_does_not(name: str) -> None:
    """It passes."""
    assert not tells_client(name)
