"""Who the client is, by the rules of nginx's realip module."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from proxy.edge.trusted_proxies import Client, TrustedProxies, parsed

TRUSTED = TrustedProxies(("10.0.0.0/8", "2001:db8:aa::/48", "192.0.2.1/32"))


@pytest.mark.parametrize(
    ("peer", "before", "address"),
    [
        ("203.0.113.1", [], "203.0.113.1"),
        ("203.0.113.1", ["198.51.100.1"], "203.0.113.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1", "10.0.0.2", "192.0.2.1"], "198.51.100.1"),
        ("10.0.0.1", ["10.0.0.3", "10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["198.51.100.1", "nonsense", "10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7", "2001:db8:aa::1"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("", ["198.51.100.1"], ""),
    ],
)
def test_the_last_address_that_is_not_trusted_is_the_client(
    peer: str, before: list[str], address: str
) -> None:
    """What stands before it anybody may have written."""
    assert TRUSTED.client_address(peer, before) == address


def client(
    peer: str, *fields: tuple[str, str], forwarded: tuple[dict[str, str], ...] = ()
) -> Client:
    """The client of a request that came by http for `h.example`."""
    headers = CIMultiDict(fields)
    if forwarded:
        headers["Forwarded"] = "as it was sent"
    return TRUSTED.client(
        peer, scheme="http", host="h.example", headers=headers, forwarded=lambda: forwarded
    )


SAID = (
    ("X-Forwarded-For", "1.1.1.1, 198.51.100.1"),
    ("x-forwarded-for", "10.0.0.2"),
    ("X-Forwarded-Proto", "https"),
    ("X-Forwarded-Host", "llm.example"),
)


def test_a_trusted_proxy_is_believed() -> None:
    """In all three; several lines of a field are one list (RFC 9110, 5.3)."""
    assert client("10.0.0.1", *SAID) == ("198.51.100.1", "10.0.0.1", "https", "llm.example", True)


def test_anybody_else_is_not() -> None:
    """The connection speaks for itself."""
    assert client("203.0.113.1", *SAID) == (
        *("203.0.113.1", "203.0.113.1", "http", "h.example", False),
    )


def test_forwarded_counts_where_there_is_no_x_forwarded_for() -> None:
    """RFC 7239; the nearest proxy says by which scheme and for which host."""
    chain = (
        {"for": "198.51.100.1:80", "proto": "http"},
        {"for": "[2001:db8:aa::1]", "proto": "https", "host": "llm.example"},
    )
    assert client("10.0.0.1", forwarded=chain)[:4] == (
        *("198.51.100.1", "10.0.0.1", "https", "llm.example"),
    )
    assert client("10.0.0.1", *SAID, forwarded=chain).address == "198.51.100.1"
    hidden = ({"for": "_secret"},)
    assert client("10.0.0.1", forwarded=hidden).address == "10.0.0.1"


@pytest.mark.parametrize(
    ("peer", "header"), [("203.0.113.1", "for=1.1.1.1"), ("10.0.0.1", "=,=" * 400)]
)
def test_what_only_costs_time_is_not_read(peer: str, header: str) -> None:
    """An untrusted peer's header, or one too long to be true: the peer is the client."""
    client = TRUSTED.client(
        peer,
        scheme="http",
        host="h.example",
        headers=CIMultiDict({"Forwarded": header}),
        forwarded=lambda: pytest.fail("it was read"),
    )
    assert client.address == peer


def test_a_scheme_that_is_none_is_not_believed() -> None:
    """Whoever says it."""
    assert client("10.0.0.1", ("X-Forwarded-Proto", "gopher")).scheme == "http"


@pytest.mark.parametrize("text", ["", "_hidden", "1.2.3", "1.2.3.4.5", "[", "::g", "a:b:c"])
def test_what_is_no_address(text: str) -> None:
    """It is nobody's."""
    assert parsed(text) is None
