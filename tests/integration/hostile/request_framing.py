"""Where a hostile body is said to end: lengths, codings, chunks, and what stands behind them."""

from __future__ import annotations

from tests.integration.hostile.asking import Row, chunked, get, head, passed, post, refused

_SECOND = get(b"/v1/second")
_FILES = b"/v1/files"
_PASSED = b"GET /v1/models"

BARE_LF = tuple(
    refused(f"the chunks {chunks!r}", chunked(_FILES, chunks))
    for chunks in (
        b"2\nab\n0\n\n",
        b"2;a\nab\r\n0\r\n\r\n",
        b"2\nab\r\n0\r\n\r\n",
        b"2\r\nab\n0\r\n\r\n",
        b"2\r\nab\r\n0\n\r\n",
        b"2\r\nab\r\n0\r\n\n",
        b"2\r\nab\r\n0\r\nA: b\n\n",
    )
)
"""Chunks whose lines end in LF alone (RFC 9112, 7.1 has CRLF)."""

FRAMING = (
    *BARE_LF,
    *(
        refused(
            f"the length {length!r}",
            head(b"POST", _FILES, b"Content-Length:" + length) + b"ab" + _SECOND,
        )
        for length in (
            b" -1",
            b" +2",
            b" 0x2",
            b" 2 2",
            b" 2,2",
            b" 2, 3",
            b" 1e1",
            b" two",
            b" 2;",
            b" 99999999999999999999",
            b"",
            b" \xb2",
        )
    ),
    *(
        refused(
            f"the lengths {one!r} and {two!r}",
            head(b"POST", _FILES, b"Content-Length: " + one, b"Content-Length: " + two)
            + b"ab"
            + _SECOND,
        )
        for one, two in ((b"2", b"2"), (b"2", b"3"), (b"0", b"2"))
    ),
    *(
        refused(
            f"the coding {coding!r}",
            head(b"POST", _FILES, b"Transfer-Encoding:" + coding)
            + b"2\r\nab\r\n0\r\n\r\n"
            + _SECOND,
            status,
            says=says,
        )
        for coding, status, says in (
            (b" gzip, chunked", 400, b""),
            (b" chunked, gzip", 400, b""),
            (b" chunked, chunked", 400, b""),
            (b" chunked;q=1", 400, b""),
            (b" identity", 400, b""),
            (b" xchunked", 400, b""),
            (b" \x0bchunked", 400, b""),
            (b' "chunked"', 400, b""),
            (b"", 400, b""),
            (b" chunk", 400, b""),
        )
    ),
    refused(
        "two codings",
        chunked(_FILES, b"2\r\nab\r\n0\r\n\r\n" + _SECOND, b"Transfer-Encoding: gzip"),
    ),
    refused(
        "chunked twice",
        chunked(_FILES, b"2\r\nab\r\n0\r\n\r\n" + _SECOND, b"Transfer-Encoding: chunked"),
    ),
    refused("a coding and a length", chunked(_FILES, b"0\r\n\r\n" + _SECOND, b"Content-Length: 5")),
    refused(
        "a length and a coding",
        head(b"POST", _FILES, b"Content-Length: 5", b"Transfer-Encoding: chunked")
        + b"0\r\n\r\n"
        + _SECOND,
    ),
    refused("chunks in HTTP/1.0", chunked(_FILES, b"0\r\n\r\n" + _SECOND, version=b"1.0")),
    refused(
        "a length and a coding with an underscore and a folded line",
        head(b"POST", _FILES, b"Content-Length: 2", b"Transfer-Encoding:\r\n chunked")
        + b"ab"
        + _SECOND,
    ),
    *(
        refused(f"the chunks {chunks!r}", chunked(_FILES, chunks + _SECOND))
        for chunks in (
            b"zz\r\nab\r\n0\r\n\r\n",
            b"-2\r\nab\r\n0\r\n\r\n",
            b"0x2\r\nab\r\n0\r\n\r\n",
            b"\r\nab\r\n0\r\n\r\n",
            b"fffffffffffffffff\r\nab\r\n0\r\n\r\n",
            b"1\r\nab\r\n0\r\n\r\n",
        )
    ),
    refused("a size and a word", chunked(_FILES, b"2 2\r\nab\r\n0\r\n\r\n")),
    passed(
        "an extension",
        chunked(_FILES, b"2;a=secret\r\nab\r\n0\r\n\r\n"),
        b"POST /v1/files",
        body=b"ab",
        never=(b"secret",),
    ),
    passed(
        "a trailer",
        chunked(_FILES, b"2\r\nab\r\n0\r\nX-Api-Key: secret\r\n\r\n"),
        b"POST /v1/files",
        body=b"ab",
        never=(b"secret",),
    ),
    passed(
        "sizes with zeros",
        chunked(_FILES, b"0002\r\nab\r\n0000\r\n\r\n"),
        b"POST /v1/files",
        body=b"ab",
    ),
    passed("a GET with a body", post(b"/v1/models", b"ab", method=b"GET"), _PASSED, body=b"ab"),
    passed("a request within a body", post(_FILES, _SECOND), b"POST /v1/files", body=_SECOND),
    passed("an empty body", post(_FILES, b""), b"POST /v1/files", body=b""),
    Row(
        "another expectation",
        post(_FILES, b"ab", b"Expect: coffee"),
        200,
        (b"POST /v1/files",),
        body=b"ab",
        never=(b"coffee",),
    ),
    refused(
        "a length beyond the limit",
        head(b"POST", _FILES, b"Content-Length: 900000000"),
        413,
        closes=False,
    ),
    refused(
        "such a length and an expectation",
        head(b"POST", _FILES, b"Expect: 100-continue", b"Content-Length: 900000000"),
        413,
        closes=False,
    ),
)
