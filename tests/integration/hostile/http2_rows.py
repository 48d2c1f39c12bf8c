"""Hostile requests by HTTP/2, as a table: pseudo-headers and paths (RFC 9113, 8.3)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.hostile.asking import MARK
from tests.integration.hostile.http2_frames import Fields

POST = (b":method", b"POST")
GET = (b":method", b"GET")
SCHEME = (b":scheme", b"https")
AUTHORITY = (b":authority", b"localhost")
MODELS_REACHED = b"GET /v1/models"


@dataclass(frozen=True)
class Http2Row:
    """One request, and what becomes of it."""

    name: str
    fields: Fields
    statuses: tuple[int, ...] = (400,)
    """What it may get; 0 stands for a stream or a connection that is broken off."""
    reached: tuple[bytes, ...] = ()
    """Method and target of each request that the upstream must get, and of no other."""
    body: bytes | None = None
    """DATA to send after it, in one frame."""
    received: bytes | None = None
    """The body that reaches the upstream, where it must be just that."""
    trailers: Fields = ()
    never: tuple[bytes, ...] = ()
    """What may not be in what reaches it, in lower case."""


def path(value: bytes) -> tuple[bytes, bytes]:
    """A `:path`."""
    return b":path", value


def get(target: bytes, *fields: tuple[bytes, bytes]) -> Fields:
    """A GET."""
    return (GET, SCHEME, AUTHORITY, path(target), *fields)


def post(target: bytes, *fields: tuple[bytes, bytes]) -> Fields:
    """The head of a POST."""
    return (POST, SCHEME, AUTHORITY, path(target), *fields)


def method(word: bytes, target: bytes = b"/v1/models") -> Fields:
    """Another method."""
    return ((b":method", word), SCHEME, AUTHORITY, path(target))


def field(name: bytes, value: bytes) -> Fields:
    """A GET with one more field."""
    return get(b"/v1/models", (name, value))


OK = (200,)
BROKEN = (0,)
REFUSED_OR_BROKEN = (400, 0)
TOO_MUCH = (431, 0)
MODELS = get(b"/v1/models")

PSEUDO = (
    Http2Row("no method", (SCHEME, AUTHORITY, path(b"/v1/models"))),
    Http2Row("no scheme", (GET, AUTHORITY, path(b"/v1/models"))),
    Http2Row("no path", (GET, SCHEME, AUTHORITY)),
    Http2Row("no authority and no host", (GET, SCHEME, path(b"/v1/models"))),
    Http2Row("no fields at all", (), BROKEN),
    Http2Row("two methods", (POST, *MODELS)),
    Http2Row("two schemes", (SCHEME, *MODELS)),
    Http2Row("two authorities", (AUTHORITY, *MODELS)),
    Http2Row("two authorities that differ", ((b":authority", b"evil.example"), *MODELS)),
    Http2Row("two paths", (path(b"/v1/files"), *MODELS)),
    Http2Row(
        "a path after the fields", (GET, SCHEME, AUTHORITY, (b"a", b"b"), path(b"/v1/models"))
    ),
    Http2Row(
        "a method after the fields", (SCHEME, AUTHORITY, path(b"/v1/models"), (b"a", b"b"), GET)
    ),
    Http2Row("an unknown pseudo-header", field(b":evil", b"1")),
    Http2Row("an answer's pseudo-header", field(b":status", b"200")),
    Http2Row("a protocol without CONNECT", field(b":protocol", b"websocket")),
    Http2Row("an empty pseudo-header", field(b":", b"1")),
    Http2Row(
        "pseudo-headers in capitals", ((b":METHOD", b"GET"), SCHEME, AUTHORITY, path(b"/v1/models"))
    ),
    Http2Row("a host that differs", field(b"host", b"evil.example")),
    Http2Row("a host that agrees", field(b"host", b"localhost"), OK, (MODELS_REACHED,)),
    Http2Row(
        "a host in place of an authority",
        (GET, SCHEME, path(b"/v1/models"), (b"host", b"localhost")),
        OK,
        (MODELS_REACHED,),
    ),
    Http2Row(
        "two hosts",
        (GET, SCHEME, path(b"/v1/models"), (b"host", b"localhost"), (b"host", b"evil.example")),
    ),
    *(
        Http2Row(
            f"the scheme {value!r}", (GET, (b":scheme", value), AUTHORITY, path(b"/v1/models"))
        )
        for value in (b"", b"ht tp", b"http://evil.example/?", b"ht\ntp", b"https\r\nx: y")
    ),
    *(
        Http2Row(
            f"the authority {value!r}", (GET, SCHEME, (b":authority", value), path(b"/v1/models"))
        )
        for value in (
            b"",
            b"user@localhost",
            MARK + b":pw@localhost",
            b"localhost/admin",
            b"a b",
            b"localhost?x",
            b"localhost\r\nx-a: 1",
            b"localhost:99x",
            b"local\0host",
            b"localhost, evil.example",
        )
    ),
    *(
        Http2Row(f"the method {value!r}", method(value))
        for value in (
            b"",
            b"G ET",
            b"GET\r\nX: y",
            b"GET /v1/files HTTP/1.1\r\nX:",
            b"G\0ET",
            b"G\x7fET",
            b"G<T",
            b"GET\t",
        )
    ),
    Http2Row("TRACE", method(b"TRACE"), (405,)),
    Http2Row("CONNECT to a path", method(b"CONNECT"), (405,)),
    Http2Row(
        "CONNECT to an authority",
        ((b":method", b"CONNECT"), (b":authority", b"evil.example:443")),
    ),
    Http2Row("CONNECT for a websocket", (*method(b"CONNECT"), (b":protocol", b"websocket"))),
    Http2Row("PRI", method(b"PRI", b"*")),
)

PATHS = (
    *(
        Http2Row(f"the path {value!r}", get(value))
        for value in (
            b"",
            b"v1/models",
            b"*",
            b"http://evil.example/v1/models",
            b"//evil.example/v1/models",
            b"/v1/mod els",
            b"/v1/models HTTP/1.1\r\nX: y\r\n\r\n",
            b"/v1/mod\nels",
            b"/v1/mod\rels",
            b"/v1/mod\0els",
            b"/v1/mod\x7fels",
            b"/v1/models#a",
            b"/v1/mod\tels",
            b"/v1/%zz",
            b"/v1/..;/admin",
            b"/v1/%2e%2e;/admin",
            b"/v1/../admin",
            b"/v1/..%2fadmin",
            b"/v1/%252e%252e/admin",
            b"/v1/%c0%ae%c0%ae/admin",
            b"/v1/a%00b",
            b"/v1/a%0d%0ab",
            b"/v1/..\\admin",
            b"/v1/.",
            b"\\v1\\models",
        )
    ),
    Http2Row("an internal route", get(b"/internal/status"), (404,)),
    Http2Row("an encoded internal route", get(b"/%69nternal/status"), (404,)),
    Http2Row("the error page", get(b"/sluice-error"), (404,)),
    Http2Row("a path of 20 KB", get(b"/v1/models?a=" + b"x" * 20_000), (414, 0)),
    Http2Row("a query that is no UTF-8", get(b"/v1/models?a=\xff")),
)

HEADS = PSEUDO + PATHS
