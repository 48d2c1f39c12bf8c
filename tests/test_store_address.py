"""The store's URL, in each form that people write."""

from __future__ import annotations

import pytest

from proxy.store_address import Kind, StoreAddress, parse


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("redis://cache", StoreAddress(Kind.SERVER, (("cache", 6379),))),
        (
            "redis://:p%40ss@cache:7000/3",
            StoreAddress(Kind.SERVER, (("cache", 7000),), database=3, password="p@ss"),
        ),
        (
            "rediss://me:secret@[::1]:7000",
            StoreAddress(Kind.SERVER, (("::1", 7000),), username="me", password="secret", tls=True),
        ),
        ("valkey://cache", StoreAddress(Kind.SERVER, (("cache", 6379),))),
        ("unix:///run/a%20b.sock", StoreAddress(Kind.UNIX, path="/run/a b.sock")),
        ("unix://:pw@/run/s", StoreAddress(Kind.UNIX, path="/run/s", password="pw")),
        (
            "redis+sentinel://a,b:1/main/2",
            StoreAddress(Kind.SENTINEL, (("a", 26379), ("b", 1)), service="main", database=2),
        ),
        (
            "rediss+cluster://a:1,b",
            StoreAddress(Kind.CLUSTER, (("a", 1), ("b", 6379)), tls=True),
        ),
    ],
)
def test_a_good_url(url: str, address: StoreAddress) -> None:
    """Each form gives its parts, percent-encoding undone."""
    assert parse(url) == address


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("cache:6379", "a store is one of"),
        ("http://cache", "a store is one of"),
        ("redis+ring://cache", "a store is one of"),
        ("redis://", "a host is missing"),
        ("redis://a,b", "several hosts"),
        ("redis://a/x", "a database number"),
        ("redis://a/1/2", "a database number"),
        ("redis://a?ssl_cert_reqs=none", "no query"),
        ("redis+sentinel://a", "the service is missing"),
        ("redis+cluster://a/1", "only the database 0"),
        ("unix://run/s", "three slashes"),
        ("redis://h:secret@a:port", "a port is a number"),
        ("redis://user:secret", "a port is a number"),
    ],
)
def test_a_bad_url(url: str, message: str) -> None:
    """It is said what would be right, never the password."""
    with pytest.raises(ValueError, match=message) as refused:
        parse(url)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "redis://cache:7000/3",
        "rediss://[::1]:7000",
        "unix:///run/s",
        "redis+sentinel://a:1,b:2/main/2",
        "rediss+cluster://a:1",
    ],
)
def test_shown_to_people(url: str) -> None:
    """As it was written, and without whoever logs in."""
    assert parse(url).shown == url
    assert parse(url.replace("//", "//me:pw@")).shown == url
