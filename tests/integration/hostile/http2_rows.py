"""Hostile requests by HTTP/2, as a table (RFC 9113, 8.1 to 8.3)."""

from __future__ import annotations

from dataclasses import dataclass

from tests.integration.hostile.asking import MARK
from tests.integration.hostile.http2_frames import Fields

POST = (b":method", b"POST")
GET = (b":method", b"GET")
SCHEME = (b":scheme", b"https")
AUTHORITY = (b":authority", b"localhost")
_MODELS = b"GET /v1/models"
_FILES = b"POST /v1/files"


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
    Http2Row("a host that agrees", field(b"host", b"localhost"), OK, (_MODELS,)),
    Http2Row(
        "a host in place of an authority",
        (GET, SCHEME, path(b"/v1/models"), (b"host", b"localhost")),
        OK,
        (_MODELS,),
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
    Http2Row("CONNECT to a path", method(b"CONNECT"), (400, 405)),
    Http2Row(
        "CONNECT to an authority",
        ((b":method", b"CONNECT"), (b":authority", b"evil.example:443")),
        (400, 405),
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

FIELDS = (
    *(
        Http2Row(f"the field {name!r}: {value!r}", field(name, value))
        for name, value in (
            (b"X-Upper", b"1"),
            (b"x-Upper", b"1"),
            (b"x y", b"1"),
            (b"x\r\ny", b"1"),
            (b"x\0", b"1"),
            (b"x:y", b"1"),
            (b"x-\xff", b"1"),
            (b"x(", b"1"),
            (b" x", b"1"),
            (b"x ", b"1"),
            (b"x-a", b"a\rb"),
            (b"x-a", b"a\nb"),
            (b"x-a", b"a\0b"),
            (b"x-a", b"a\r\nx-api-key: b"),
            (b"x-a", b"a\r\n\r\nGET /v1/second HTTP/1.1\r\n\r\n"),
            (b"x-a", b"a\x01b"),
            (b"x-a", b"a\x7fb"),
            (b"connection", b"close"),
            (b"connection", b"x-mine"),
            (b"keep-alive", b"timeout=5"),
            (b"proxy-connection", b"close"),
            (b"upgrade", b"h2c"),
            (b"transfer-encoding", b"chunked"),
            (b"transfer-encoding", b"gzip"),
            (b"te", b"gzip"),
            (b"te", b"trailers, deflate"),
        )
    ),
    # nginx breaks the connection off over a name of no bytes.
    Http2Row("a field without a name", field(b"", b"1"), BROKEN),
    Http2Row(
        "settings of an upgrade",
        field(b"http2-settings", b"AAMA"),
        OK,
        (_MODELS,),
        never=(b"http2-",),
    ),
    Http2Row("te: trailers", field(b"te", b"trailers"), OK, (_MODELS,), never=(b"te:",)),
    Http2Row(
        "several cookies",
        get(b"/v1/models", (b"cookie", b"a=" + MARK), (b"cookie", b"b=" + MARK)),
        OK,
        (_MODELS,),
    ),
    *(
        Http2Row(f"a key in {name!r}", field(name, MARK), OK, (_MODELS,))
        for name in (
            b"x_api_key",
            b"api_key",
            b"x-goog_api-key",
            b"api-key",
            b"x-api-key",
            b"proxy-authorization",
            b"cookie",
            b"x.api.key",
            b"ocp-apim-subscription-key",
        )
    ),
    Http2Row(
        "a key in ?a=b;key=", get(b"/v1/models?a=b;key=" + MARK), OK, (b"GET /v1/models?a=b",)
    ),
    Http2Row(
        "what nginx tells workers",
        get(
            b"/v1/models",
            (b"x-sluice-peer", b"127.0.0.1"),
            (b"x-sluice-scheme", b"http"),
            (b"x-sluice-connection", b"x-request-id"),
        ),
        OK,
        (_MODELS,),
        never=(b"x-sluice-",),
    ),
    Http2Row(
        "1,000 fields", get(b"/v1/models", *((b"x-%d" % n, b"1") for n in range(1000))), TOO_MUCH
    ),
    Http2Row("a field of 40 KB", field(b"x-a", b"x" * 40_000), TOO_MUCH),
    Http2Row("a field name of 40 KB", field(b"x" * 40_000, b"1"), TOO_MUCH),
    Http2Row(
        "100 cookies of 1 KB",
        get(b"/v1/models", *((b"cookie", b"a=" + b"b" * 1000) for _ in range(100))),
        TOO_MUCH,
    ),
    Http2Row(
        "an expectation",
        post(b"/v1/files", (b"expect", b"100-continue"), (b"content-length", b"2")),
        OK,
        (_FILES,),
        body=b"ab",
        received=b"ab",
    ),
    Http2Row(
        "a length beyond the limit",
        post(b"/v1/files", (b"content-length", b"900000000")),
        (413,),
        body=b"ab",
    ),
)

LENGTHS = (
    Http2Row(
        "a body longer than its length",
        post(b"/v1/files", (b"content-length", b"2")),
        REFUSED_OR_BROKEN,
        body=b"abGET /v1/second HTTP/1.1\r\n\r\n",
    ),
    Http2Row(
        "a body shorter than its length",
        post(b"/v1/files", (b"content-length", b"20")),
        REFUSED_OR_BROKEN,
        body=b"ab",
    ),
    Http2Row(
        "a length without a body", post(b"/v1/files", (b"content-length", b"2")), REFUSED_OR_BROKEN
    ),
    # Its length is said to be known, so nginx sends it on before the DATA comes; that goes nowhere.
    Http2Row(
        "a body whose length is 0",
        post(b"/v1/files", (b"content-length", b"0")),
        (400,),
        (_FILES,),
        body=b"ab",
        received=b"",
    ),
    Http2Row(
        "a body without a length", post(b"/v1/files"), OK, (_FILES,), body=b"ab", received=b"ab"
    ),
    Http2Row(
        "two lengths that differ",
        post(b"/v1/files", (b"content-length", b"2"), (b"content-length", b"3")),
        REFUSED_OR_BROKEN,
        body=b"ab",
    ),
    Http2Row(
        "two lengths that agree",
        post(b"/v1/files", (b"content-length", b"2"), (b"content-length", b"2")),
        REFUSED_OR_BROKEN,
        body=b"ab",
    ),
    *(
        Http2Row(
            f"the length {value!r}",
            post(b"/v1/files", (b"content-length", value)),
            REFUSED_OR_BROKEN,
            body=b"ab",
        )
        for value in (
            b"",
            b"-2",
            b"+2",
            b"2 2",
            b"2, 2",
            b"0x2",
            b"two",
            b"2\r\nx: y",
            b"99999999999999999999",
        )
    ),
    Http2Row(
        "a request within a body",
        post(b"/v1/files"),
        OK,
        (_FILES,),
        body=b"GET /v1/second HTTP/1.1\r\n\r\n",
        received=b"GET /v1/second HTTP/1.1\r\n\r\n",
    ),
    # This nginx knows no trailers of requests; no LLM's client sends any.
    Http2Row(
        "a key in trailers",
        post(b"/v1/files"),
        BROKEN,
        body=b"ab",
        trailers=((b"x-api-key", MARK),),
    ),
    Http2Row(
        "a path in trailers",
        post(b"/v1/files"),
        BROKEN,
        body=b"ab",
        trailers=(path(b"/v1/second"),),
    ),
    Http2Row(
        "a length in trailers",
        post(b"/v1/files"),
        BROKEN,
        body=b"ab",
        trailers=((b"content-length", b"99"),),
    ),
    Http2Row("a GET with a body", get(b"/v1/models"), OK, (_MODELS,), body=b"ab", received=b"ab"),
)

ROWS = PSEUDO + PATHS + FIELDS + LENGTHS
