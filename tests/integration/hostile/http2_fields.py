"""Hostile fields and lengths by HTTP/2 (RFC 9113, 8.1.1 and 8.2)."""

from __future__ import annotations

from tests.integration.hostile.asking import MARK
from tests.integration.hostile.http2_rows import (
    BROKEN,
    MODELS_REACHED,
    OK,
    REFUSED_OR_BROKEN,
    TOO_MUCH,
    Http2Row,
    field,
    get,
    path,
    post,
)

_FILES = b"POST /v1/files"

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
        (MODELS_REACHED,),
        never=(b"http2-",),
    ),
    Http2Row("te: trailers", field(b"te", b"trailers"), OK, (MODELS_REACHED,), never=(b"te:",)),
    Http2Row(
        "several cookies",
        get(b"/v1/models", (b"cookie", b"a=" + MARK), (b"cookie", b"b=" + MARK)),
        OK,
        (MODELS_REACHED,),
    ),
    *(
        Http2Row(f"a key in {name!r}", field(name, MARK), OK, (MODELS_REACHED,))
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
        (MODELS_REACHED,),
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
    Http2Row(
        "a GET with a body", get(b"/v1/models"), OK, (MODELS_REACHED,), body=b"ab", received=b"ab"
    ),
)
