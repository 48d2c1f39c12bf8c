"""Hostile heads: request lines, targets, hosts and fields."""

from __future__ import annotations

from tests.integration.hostile.asking import HOST, Row, get, head, passed, post, refused

_PASSED = b"GET /v1/models"

REQUEST_LINES = (
    *(
        refused(f"the version {version!r}", get(b"/v1/models", version=version), status)
        for version, status in (
            (b"1.10", 505),
            (b"1.2", 505),
            (b"2.0", 505),
            (b"3.0", 505),
            (b"0.9", 505),
            (b"11", 400),
            (b"1", 400),
            (b"1.", 400),
            (b"x.y", 400),
            (b"-1.1", 400),
            (b"1.1.1", 400),
        )
    ),
    refused("lower-case http", b"GET /v1/models http/1.1\r\n" + HOST + b"\r\n"),
    refused("another protocol", b"GET /v1/models ICY/1.1\r\n" + HOST + b"\r\n"),
    refused("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    refused("a tls hello", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    refused("no method", b" /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("a method with a NUL", b"G\0ET /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("a method that is no token", b"G<T /v1/models HTTP/1.1\r\n" + HOST + b"\r\n"),
    refused("TRACE", head(b"TRACE", b"/v1/models"), 405),
    refused("CONNECT to a path", head(b"CONNECT", b"/v1/models"), 405),
    refused("CONNECT to an authority", head(b"CONNECT", b"evil.example:443"), 405),
    refused("CONNECT to a host", head(b"CONNECT", b"evil.example"), 405),
    refused("CONNECT to a URL", head(b"CONNECT", b"http://evil.example/")),
    refused("CONNECT to *", head(b"CONNECT", b"*"), 405),
    refused("a GET of an authority", get(b"evil.example:443")),
    refused("a GET of a word", get(b"v1/models")),
    refused("a GET of *", get(b"*")),
    refused("two slashes first", get(b"//evil.example/v1/models")),
    refused("a fragment", get(b"/v1/models#/admin")),
    refused("a space in the target", get(b"/v1/mod els")),
    refused("a NUL in the target", get(b"/v1/mod\0els")),
    refused("an encoded NUL", get(b"/v1/mod%00els")),
    refused("an encoded CR LF", get(b"/v1/models%0d%0aX-A:%201")),
    refused("a bare CR in the target", get(b"/v1/mod\rels")),
    refused("a tab in the target", get(b"/v1/mod\tels")),
    refused("a DEL in the target", get(b"/v1/mod\x7fels")),
    refused("an encoding that is none", get(b"/v1/%zz")),
    refused("a URL of 20 KB", get(b"/v1/models?a=" + b"x" * 20_000), 414),
    refused("a URL of 200 KB", get(b"/v1/models?a=" + b"x" * 200_000), 414),
    passed("an absolute target", get(b"http://other.test/v1/models?a=1"), b"GET /v1/models?a=1"),
    passed("an absolute target by https", get(b"https://sluice.test/v1/models"), _PASSED),
    refused("an absolute target with a user", get(b"http://user:pw@sluice.test/v1/models")),
    refused("an absolute target of ftp", get(b"ftp://sluice.test/v1/models")),
    refused("an absolute target without a host", get(b"http:///v1/models")),
    refused("an absolute target that climbs", get(b"http://sluice.test/v1/../admin")),
    refused("an absolute internal target", get(b"http://sluice.test/internal/status"), 404),
    Row("HTTP/1.0", get(b"/v1/models", version=b"1.0"), 200, (_PASSED,), closes=True),
    Row("HTTP/1.0 without Host", b"GET /v1/models HTTP/1.0\r\n\r\n", 200, (_PASSED,), closes=True),
    Row("a probe by HTTP/1.0", b"GET /readyz HTTP/1.0\r\n\r\n", 200, closes=True),
    passed("two empty lines first", b"\r\n\r\n" + get(b"/v1/models"), _PASSED),
    passed("another method", head(b"DELETE", b"/v1/files/1"), b"DELETE /v1/files/1"),
)

PATHS = (
    *(
        refused(f"the path {path!r}", get(path))
        for path in (
            b"/v1/../admin",
            b"/v1/..",
            b"/v1/.",
            b"/v1/./admin",
            b"/v1/%2e%2e/admin",
            b"/v1/.%2e/admin",
            b"/v1/%2E%2E%2Fadmin",
            b"/v1/..%2fadmin",
            b"/v1/%252e%252e/admin",
            b"/v1/%25252e%25252e/admin",
            b"/v1/..;/admin",
            b"/v1/%2e%2e;/admin",
            b"/v1/..;a=b/admin",
            b"/v1/..%3b/admin",
            b"/v1/.;/admin",
            b"/v1/a/..\\admin",
            b"/v1/..%5cadmin",
            b"/v1/%5c..%5cadmin",
            b"/v1/%c0%ae%c0%ae/admin",
            b"/v1/%e0%80%ae%e0%80%ae/admin",
            b"/v1/a/%2e%2e/%2e%2e/%2e%2e/admin",
            b"/v1/..%20/admin",
            b"/v1/..%09/admin",
        )
    ),
    *(
        refused(f"the route {path!r}", get(path), 404, closes=False)
        for path in (
            b"/internal/status",
            b"/internal/",
            b"/internal",
            b"/INTERNAL/status",
            b"/admin",
            b"/metrics",
            b"/status",
            b"/v1",
            b"/v2/chat",
            b"/v1x/models",
            b"/V1/models",
            b"/",
            b"/sluice-error",
            b"/sluice-no-answer",
            b"/sluice-bad-request",
        )
    ),
    refused("an encoded internal route", get(b"/%69nternal/status"), 404, closes=False),
    refused("an internal route behind dots", get(b"/v1/..%2finternal/status")),
    refused("a POST of a route for GET", post(b"/healthz", b""), 405, closes=False),
    passed("dots that climb nowhere", get(b"/v1/models/a..b"), b"GET /v1/models/a..b"),
    passed("three dots", get(b"/v1/..."), b"GET /v1/..."),
    passed("dots in the query", get(b"/v1/models?a=/../x"), b"GET /v1/models?a=/../x"),
    passed("an encoded slash", get(b"/v1/models/a%2Fb"), b"GET /v1/models/a%2Fb"),
    passed("two slashes inside", get(b"/v1//models"), b"GET /v1//models"),
)

HOSTS = (
    *(
        refused(f"the Host {host!r}", b"GET /v1/models HTTP/1.1\r\nHost:" + host + b"\r\n\r\n")
        for host in (
            b" user@sluice.test",
            b" user:pw@sluice.test",
            b" sluice.test/admin",
            b" sluice test",
            b" sluice.test:99x",
            b" sluice.test, evil.example",
            b" http://sluice.test",
            b" sluice.test?x",
            b" sluice.test#x",
            b" sluice\\test",
            b" [::1",
            b"",
            b" ",
            b" \xff\xfe",
        )
    ),
    refused("no Host", b"GET /v1/models HTTP/1.1\r\n\r\n"),
    refused("two Hosts", get(b"/v1/models", b"Host: evil.example")),
    refused("two Hosts that agree", get(b"/v1/models", b"Host: sluice.test")),
    refused("a bad Host of HTTP/1.0", b"GET /v1/models HTTP/1.0\r\nHost: a@b\r\n\r\n"),
    passed("an IPv6 Host", b"GET /v1/models HTTP/1.1\r\nHost: [::1]:80\r\n\r\n", _PASSED),
)

FIELDS = (
    *(
        refused(f"the field {field!r}", get(b"/v1/models", field))
        for field in (
            b"X-\xff: 1",
            b"X-\xc3\xa4: 1",
            b"X Y: 1",
            b"X-A : 1",
            b": 1",
            b"no colon",
            b"X-A\0: 1",
            b"X-A: a\0b",
            b"X-A: a\rb",
            b"X-A: a\x01b",
            b"X-A: a\x7fb",
            b"X-A: a\r\n folded",
            b"X-A: a\r\n\tfolded",
            b" X-A: first folded",
            b'"X": 1',
            b"X(A): 1",
            b"X-A: 1\nX-B: 2",
        )
    ),
    refused("lines that end in LF", b"GET /v1/models HTTP/1.1\nHost: sluice.test\n\n"),
    refused("a last line that ends in LF", b"GET /v1/models HTTP/1.1\r\n" + HOST + b"\n"),
    refused("1,000 fields", get(b"/v1/models", *(b"X-%d: 1" % n for n in range(1000))), 431),
    refused("20,000 fields", get(b"/v1/models", *(b"X-%d: 1" % n for n in range(20000))), 431),
    refused("a field of 40 KB", get(b"/v1/models", b"X-A: " + b"x" * 40_000), 431),
    refused("a field name of 40 KB", get(b"/v1/models", b"X" * 40_000 + b": 1"), 431),
    passed(
        "hop-by-hop fields",
        get(
            b"/v1/models",
            b"Connection: close, X-Mine",
            b"X-Mine: secret",
            b"Keep-Alive: secret",
            b"Proxy-Authorization: secret",
            b"TE: secret",
            b"Proxy-Connection: secret",
        ),
        _PASSED,
        never=(b"secret",),
    ),
    passed(
        "two Connections",
        get(b"/v1/models", b"Connection: keep-alive", b"Connection: X-Mine", b"X-Mine: secret"),
        _PASSED,
        never=(b"secret",),
    ),
    passed(
        "an upgrade",
        get(
            b"/v1/models",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Key: c2VjcmV0",
        ),
        _PASSED,
        never=(b"upgrade:",),
    ),
    passed(
        "an upgrade to h2c",
        get(
            b"/v1/models",
            b"Connection: Upgrade, HTTP2-Settings",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk",
        ),
        _PASSED,
        never=(b"h2c", b"http2-"),
    ),
    passed(
        "addresses of its own",
        get(
            b"/v1/models",
            b"X-Forwarded-For: 1.2.3.4",
            b"X-Real-IP: 1.2.3.4",
            b"Forwarded: for=1.2.3.4",
        ),
        _PASSED,
        never=(b"1.2.3.4",),
    ),
)

HEADS = REQUEST_LINES + PATHS + HOSTS + FIELDS
