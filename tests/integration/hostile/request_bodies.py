"""Hostile bodies, keys in every place, and requests that web pages make browsers send."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import replace

from tests.fixtures.nesting import TOO_DEEP
from tests.integration.hostile.asking import CHAT, MARK, Row, get, head, passed, post, refused

_MEMBERS = gzip.compress(b"")
_GOOD = b'{"model":"m"}'
_CHAT = b"POST /v1/chat/completions"
_GZIP = b"Content-Encoding: gzip"
_MESSAGES = b"/v1/messages"

JSON = (
    *(
        refused(f"the JSON of {name}", post(CHAT, body), closes=False, says=b"byte")
        for name, body in (
            ("nothing", b""),
            ("white space", b" \r\n"),
            ("half an object", b'{"model"'),
            ("a comma too many", b'{"model":"m",}'),
            ("single quotes", b"{'model':'m'}"),
            ("a comment", b'{"model":"m"/* */}'),
            ("two objects", _GOOD + _GOOD),
            ("a byte order mark", b"\xef\xbb\xbf" + _GOOD),
            ("UTF-16", _GOOD.decode().encode("utf-16")),
            ("a NUL after it", _GOOD + b"\0"),
            ("a line feed in a text", b'{"model":"a\nb"}'),
            ("an escape that is none", b'{"model":"\\x41"}'),
            ("half an escape", b'{"model":"\\u12"}'),
            ("bytes that are no UTF-8 in the model", b'{"model":"\xff\xfe"}'),
            ("no UTF-8 in a member's name", b'{"model":"m","\xff":1}'),
            ("no UTF-8 in stream_options", b'{"model":"m","stream_options":{"a":"\xff"}}'),
            ("no UTF-8 in a message", b'{"model":"m","messages":[{"content":"\xc3("}]}'),
            ("a surrogate in UTF-8", b'{"model":"\xed\xa0\x80"}'),
            ("an overlong UTF-8", b'{"model":"\xc0\xae"}'),
            ("100,000 lists", b'{"messages":' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
            ("100,000 lists without an end", b'{"messages":' + b"[" * 100_000),
            ("too many lists in n", b'{"n":' + b"[" * TOO_DEEP + b"]" * TOO_DEEP + b"}"),
            ("80,000 objects", b'{"a":' * 80_000 + b"1" + b"}" * 80_000),
            ("a number that is none", b'{"n":01}'),
            ("NaN", b'{"n":NaN}'),
        )
    ),
    *(
        refused(f"a body that is {body.decode()}", post(CHAT, body), closes=False, says=b"object")
        for body in (b"[]", b"null", b'"text"', b"17", b"true")
    ),
    *(
        passed(f"the JSON of {name}", post(CHAT, body), _CHAT, body=body)
        for name, body in (
            ("a lone surrogate", b'{"model":"m","messages":[{"content":"\\ud800"}]}'),
            ("a lone surrogate in the model", b'{"model":"\\udc00"}'),
            ("surrogates the wrong way round", b'{"model":"m","user":"\\udc00\\ud800"}'),
            ("a model that is a list", b'{"model":[1]}'),
            ("a model that is null", b'{"model":null}'),
            ("n that is a text", b'{"model":"m","n":"2"}'),
            ("n below nothing", b'{"model":"m","n":-5}'),
            ("n of 10^999", b'{"model":"m","n":1' + b"0" * 999 + b"}"),
            ("stream that is a text", b'{"model":"m","stream":"true"}'),
            ("members twice", b'{"model":"a","model":"b"}'),
            ("an empty name", b'{"model":"m","":1}'),
            ("a number of 5,000 digits", b'{"model":"m","seed":' + b"1" * 5000 + b"}"),
            ("a model of 100 KB", b'{"model":"' + b"m" * 100_000 + b'"}'),
            ("100 lists", b'{"a":' + b"[" * 100 + b"]" * 100 + b"}"),
        )
    ),
    refused("bad JSON for Anthropic", post(_MESSAGES, b"{"), closes=False, says=b'"type": "error"'),
    refused(
        "bad JSON for Google",
        post(b"/v1beta/models/m:generateContent", b"{"),
        closes=False,
        says=b"INVALID_ARGUMENT",
    ),
)

PACKED = (
    *(
        refused(f"gzip of {name}", post(CHAT, body, _GZIP), status, closes=False)
        for name, body, status in (
            ("another kind", b"no gzip at all", 400),
            ("half its bytes", gzip.compress(_GOOD)[:-9], 400),
            ("a head alone", gzip.compress(_GOOD)[:8], 400),
            ("a wrong sum", gzip.compress(_GOOD)[:-8] + b"\0" * 8, 400),
            ("garbage after it", gzip.compress(_GOOD) + b"garbage", 400),
            ("bad JSON", gzip.compress(b"{"), 400),
            ("a thousandfold", gzip.compress(b'{"a":"' + b" " * 40_000_000), 413),
            ("100,000 empty members", _MEMBERS * 100_000, 400),
            ("a gzip", gzip.compress(gzip.compress(_GOOD)), 400),
        )
    ),
    passed(
        "gzip",
        post(CHAT, gzip.compress(_GOOD), _GZIP),
        _CHAT,
        body=_GOOD,
        never=(b"content-encoding",),
    ),
    passed(
        "gzip of 500 empty members",
        post(CHAT, _MEMBERS * 500 + gzip.compress(_GOOD), _GZIP),
        _CHAT,
        body=_GOOD,
    ),
    passed(
        "deflate",
        post(CHAT, zlib.compress(_GOOD), b"Content-Encoding: deflate"),
        _CHAT,
        body=_GOOD,
        never=(b"content-encoding",),
    ),
    passed(
        "a coding that is not known",
        post(CHAT, b"\x0b\x02", b"Content-Encoding: br"),
        _CHAT,
        body=b"\x0b\x02",
        has=(b"content-encoding: br",),
    ),
)

_FIELDS = (
    b"Authorization: Bearer ",
    b"authorization: ",
    b"Proxy-Authorization: Basic ",
    b"X-Api-Key: ",
    b"X_Api_Key: ",
    b"x-api_key: ",
    b"api-key: ",
    b"api_key: ",
    b"ApiKey: ",
    b"X-Goog-Api-Key: ",
    b"x_goog_api_key: ",
    b"Ocp-Apim-Subscription-Key: ",
    b"X-Auth-Token: ",
    b"X-Access-Token: ",
    b"X-Amz-Security-Token: ",
    b"Cookie: session=",
    b"xi-api-key: ",
    b"Helicone-Auth: Bearer ",
    b"X.Api.Key: ",
    b"X-OpenAI-Api-Key: ",
    b"x-functions-key: ",
)
_QUERIES = (
    b"key=",
    b"a=b&key=",
    b"a=b;key=",
    b"KEY=",
    b"api_key=",
    b"api-key=",
    b"apikey=",
    b"access_token=",
    b"%6bey=",
    b"k%65y=",
    b"key[]=",
    b"subscription-key=",
    b"token=",
    b"code=",
    b"a=b&&key=",
    b"a;b;key=",
    b"+key=",
    b"sig=",
)
KEYS = (
    *(
        passed(f"a key in {field.decode()}", get(b"/v1/models", field + MARK), b"GET /v1/models")
        for field in _FIELDS
    ),
    *(
        Row(
            f"a key in ?{query.decode()}",
            get(b"/v1/models?" + query + MARK),
            200,
            (b"GET /v1/models" + kept,),
        )
        for query, kept in zip(
            _QUERIES,
            (
                b"",
                b"?a=b",
                b"?a=b",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"",
                b"?a=b&",
                b"?a;b",
                b"",
                b"",
            ),
            strict=True,
        )
    ),
    refused("a key in a user's name", get(b"http://" + MARK + b"@sluice.test/v1/models")),
    refused("a key in a Host", b"GET /v1/models HTTP/1.1\r\nHost: " + MARK + b"@x\r\n\r\n"),
    refused("a key in a bad field", get(b"/v1/models", b"X-A : " + MARK)),
    refused("a key in a bad value", get(b"/v1/models", b"X-Api-Key: " + MARK + b"\x01")),
    refused("a key in a method", head(MARK.replace(b"-", b"<"), b"/v1/models")),
    refused("a key in a long URL", get(b"/v1/models?key=" + MARK * 2000), 414),
    refused("a key in a long field", get(b"/v1/models", b"X-Api-Key: " + MARK * 4000), 431),
    refused(
        "a key in a body that is too large",
        head(b"POST", b"/v1/files?key=" + MARK, b"Content-Length: 900000000"),
        413,
        closes=False,
    ),
    refused("a key in a bad version", get(b"/v1/models?key=" + MARK, version=b"1.9"), 505),
    refused("a key where there is no route", get(b"/v2/models?key=" + MARK), 404, closes=False),
    refused(
        "a key in a path that is no UTF-8",
        get(b"/nowhere/\xff\xfe?key=" + MARK),
        400,
    ),
    refused("a key in bad JSON", post(CHAT, b'{"user":"' + MARK + b'",'), closes=False),
    refused("a key in bad JSON's name", post(CHAT, b'{"' + MARK + b'":}'), closes=False),
)

_SITE = b"Sec-Fetch-Site: "
_ORIGIN = b"Origin: https://evil.example"
_TEXT = b"Content-Type: text/plain"


def _page(name: str, *fields: bytes) -> Row:
    return refused(
        f"a page {name}",
        post(CHAT, _GOOD, _TEXT, *fields),
        403,
        closes=False,
        says=b"cross_site_request",
    )


def _old_page(name: str, *fields: bytes) -> Row:
    """One that does not say to be of another site: refused where no key is asked for."""
    return replace(_page(name, *fields), reached=(_CHAT,), keyed=200)


PAGES = (
    _page("of another site", _SITE + b"cross-site", _ORIGIN),
    _page("of another site without an origin", _SITE + b"cross-site"),
    _old_page("of another origin in an old browser", _ORIGIN),
    _old_page("of no origin", b"Origin: null"),
    _page("in a frame of no origin", b"Origin: null", _SITE + b"cross-site"),
    _old_page("of another port", b"Origin: http://sluice.test:9", _SITE + b"same-site"),
    _page("in capitals", b"Origin: HTTPS://EVIL.EXAMPLE", _SITE + b"Cross-Site"),
    refused("a link on another site", get(b"/v1/models", _SITE + b"cross-site"), 403, closes=False),
    passed(
        "a page of its own",
        post(CHAT, _GOOD, _SITE + b"same-origin", b"Origin: http://sluice.test"),
        _CHAT,
    ),
    passed("somebody's address bar", get(b"/v1/models", _SITE + b"none"), b"GET /v1/models"),
)
BODIES = JSON + PACKED + KEYS + PAGES
