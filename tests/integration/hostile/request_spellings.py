"""Hostile requests in further spellings: what one server reads and another does not."""

from __future__ import annotations

from tests.integration.hostile.asking import (
    CHAT,
    HOST,
    MARK,
    Row,
    chunked,
    get,
    head,
    passed,
    post,
    refused,
)

_MODELS = b"GET /v1/models"
_FILES = b"POST /v1/files"
_TARGET = b"/v1/files"
_SECOND = get(b"/v1/second")
_END = b"2\r\nab\r\n0\r\n\r\n"

PATHS = (
    *(
        refused(f"the path {path!r}", get(path))
        for path in (
            b"/./v1/models",
            b"/x/../v1/models",
            b"/v1/%2e",
            b"/v1/..%3f/admin",
            b"/v1/..%23/admin",
            b"/v1/..%2500/admin",
            b"/v1/..%250a/admin",
            b"/v1/..%253b/admin",
            b"/v1/..%c2%a0/admin",
            b"/v1/..%ff/admin",
            b"/v1/..%c0%af/admin",
            b"/v1/%ef%bc%8e%ef%bc%8e/admin",
            b"/v1/%e2%80%a5/admin",
            b"/v1/..%ef%bc%8fadmin",
            b"/v1/%u002e%u002e/admin",
            b"/v1/a/..//..//admin",
            b"/v1/\xc3\xa4",
        )
    ),
    # Below an upstream's base only what is written as it is known lies where it should.
    *(
        refused(f"the prefix {path!r}", get(path), 404, closes=False)
        for path in (
            b"/%761/models",
            b"/v%31/models",
            b"/v1%2fmodels",
            b"/v1;x/models",
            b"/%2fv1/x",
        )
    ),
    *(
        refused(f"a key in the path {path!r}", get(path + MARK))
        for path in (
            b"/v1/models;key=",
            b"/v1/models;a=b;API_KEY=",
            b"/v1/models;k%65y=",
            b"/v1/models%3bkey=",
            b"/v1/models%3Fkey=",
            b"/v1/models%253Fapi-key=",
            b"/v1/models%26access_token=",
        )
    ),
    passed("a parameter of a segment", get(b"/v1/models;a=b"), b"GET /v1/models;a=b"),
    passed("three encoded dots", get(b"/v1/%2e%2e%2e"), b"GET /v1/%2e%2e%2e"),
    passed("a letter with an accent", get(b"/v1/caf%c3%a9"), b"GET /v1/caf%c3%a9"),
    # Some server would take each for chat completions, so its body is read, and counts.
    *(
        refused(f"no JSON for {path!r}", post(path, b"{"), closes=False, says=b"byte")
        for path in (
            b"/v1/chat/completion%73",
            b"/v1/chat%2Fcompletions",
            b"/v1//chat/completions",
            b"/v1/chat/completions/",
            b"/v1/Chat/Completions",
            b"/v1/chat/completions;a=b",
        )
    ),
)

HOSTS = tuple(
    refused(f"the Host {host[:20]!r}", b"GET /v1/models HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")
    for host in (
        b"a%40b",
        b"a%00b",
        b"a%2fb",
        b"<script>",
        b"a" * 300,
        b"a:999999",
        b"[fe80::1%25e]",
    )
)

_NAMES = (
    *(b"OpenAI-Api-Key", b"X-Auth-Key", b"Token", b"X-Token", b"X-Session-Token", b"Bearer"),
    *(b"X-Bearer", b"X-Secret", b"X-Api-Secret", b"CF-Access-Client-Secret", b"X-Vault-Token"),
    *(b"Private-Token", b"X-User-Token", b"HF-Token", b"x-portkey-virtual-key", b"Set-Cookie"),
    *(
        b"Cookie2",
        b"Cf-Access-Jwt-Assertion",
        b"X-Goog-IAP-JWT-Assertion",
        b"OCP_APIM_subscription_key",
    ),
    *(b"X-Forwarded-Authorization", b"x-ms-authorization-auxiliary", b"Proxy_Authorization"),
)
_PARAMETERS = (
    *(
        b"api%2dkey=",
        b"%2561pi_key=",
        b"key%3d",
        b"bearer=",
        b"jwt=",
        b"secret=",
        b"refresh_token=",
    ),
    *(b"client_secret=", b"x-goog-api-key=", b"X-Amz-Signature=", b"ocp-apim-subscription-key="),
    *(b"?key=", b";key=", b"key%20=", b"%61%70%69%5f%6b%65%79="),
)
KEYS = (
    *(
        passed(f"a key in {name.decode()}", get(b"/v1/models", name + b": " + MARK), _MODELS)
        for name in _NAMES
    ),
    *(
        passed(f"a key in ?{name.decode()}", get(b"/v1/models?" + name + MARK), _MODELS)
        for name in _PARAMETERS
    ),
    passed(
        "the key of a browser's websocket",
        get(
            b"/v1/realtime?model=m",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Protocol: realtime, openai-insecure-api-key." + MARK,
        ),
        b"GET /v1/realtime?model=m",
        never=(b"sec-websocket",),
    ),
)

FIELDS = (
    passed(
        "orders to serve another path",
        get(b"/v1/models", b"X-Original-URL: /secret", b"X_Rewrite_URL: /secret"),
        _MODELS,
        never=(b"secret",),
    ),
    passed(
        "fields of a hop with underscores",
        get(
            b"/v1/models",
            b"Proxy_Connection: secret",
            b"Keep_Alive: secret",
            b"X_Forwarded_For: secret",
            b"X_Sluice_Peer: secret",
        ),
        _MODELS,
        never=(b"secret",),
    ),
    passed(
        "a length and a coding with underscores",
        post(_TARGET, b"ab", b"Content_Length: 99", b"Transfer_Encoding: chunked"),
        _FILES,
        body=b"ab",
        never=(b"transfer", b"content_length"),
    ),
    passed(
        "a list of a hop's fields that is none",
        get(
            b"/v1/models",
            b"Connection: ,,;;, x-mine;q=1, X_Yours",
            b"X-Mine: secret",
            b"X-Yours: secret",
        ),
        _MODELS,
        never=(b"secret",),
    ),
    passed("a hop's field that has to stay", get(b"/v1/models", b"Connection: host"), _MODELS),
    refused("a folded Host", b"GET /v1/models HTTP/1.1\r\nHost:\r\n sluice.test\r\n\r\n"),
    refused("a folded type", post(CHAT, b"{}", b"Content-Type: application/\r\n json")),
)

FRAMING = (
    *(
        refused(f"the chunks {chunks!r}", chunked(_TARGET, chunks + _SECOND))
        for chunks in (
            b"2;a\rb\r\nab\r\n0\r\n\r\n",
            b" 2\r\nab\r\n0\r\n\r\n",
            b"+2\r\nab\r\n0\r\n\r\n",
            b"0_2\r\nab\r\n0\r\n\r\n",
        )
    ),
    *(
        refused(f"the field {field!r}", head(b"POST", _TARGET, field) + _END + _SECOND)
        for field in (
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding\t: chunked",
            b"Transfer-Encoding: chunked,",
            b"Transfer-Encoding: ,chunked",
            b"Transfer-Encoding: chunked\0",
            b"Transfer-Encoding: chunked\x85",
            b"Transfer-Encoding: \xa0chunked",
            b"Content-Length : 2",
            b"Content-Length: 2\x0b",
            b"Content-Length: 2.0",
            b"Content-Length: 2_0",
            b"Content-Length: 2\r\n 3",
            b"Content-Length: \xd9\xa2",
            b"Content-Length: 18446744073709551618",
            b"content-length: 2\r\nCONTENT-LENGTH: 2",
            b"Content-Length: 2\r\nContent-Length:",
        )
    ),
    *(
        passed(name, chunked(_TARGET, body), _FILES, body=b"ab")
        for name, body in (
            ("an extension of 100 KB", b"2;" + b"a" * 100_000 + b"\r\nab\r\n0\r\n\r\n"),
            ("a size of 100,000 zeros", b"0" * 100_000 + b"2\r\nab\r\n0\r\n\r\n"),
            ("a last chunk with an extension", b"2\r\nab\r\n0;a=b\r\n\r\n"),
        )
    ),
    *(
        passed(
            f"the expectation {value!r}",
            post(_TARGET, b"ab", b"Expect: " + value),
            _FILES,
            body=b"ab",
        )
        for value in (b"200-ok", b"100-continue, coffee", b"", b"\x80")
    ),
    passed("a GET of no body", get(b"/v1/models", b"Content-Length: 0"), _MODELS),
    Row(
        "an expectation of HTTP/1.0",
        head(b"POST", _TARGET, b"Content-Length: 2", b"Expect: 100-continue", version=b"1.0")
        + b"ab",
        200,
        (_FILES,),
        body=b"ab",
        closes=True,
    ),
)

LINES = (
    *(
        refused(f"the line {line!r}", line + b"\r\n" + HOST + b"\r\n")
        for line in (
            b"GET\t/v1/models\tHTTP/1.1",
            b"GET /v1/models HTTP/1.1\rX: y",
            b"GET /v1/models HTTP/01.1",
            b"GET /v1/models HTTP /1.1",
            b"GET /v1/models\x0bHTTP/1.1",
            b"GET /v1/models HTTPS/1.1",
        )
    ),
    *(
        refused(f"the method {method[:9]!r}", head(method, b"/v1/models"))
        for method in (b"get", b"TRACK", b"DEBUG", b"X" * 300, b"G.T", b"\xc3\x84")
    ),
    refused("an absolute target with an encoded user", get(b"http://a%40b/v1/models")),
    refused("an absolute target with a bad port", get(b"http://sluice.test:99x/v1/models")),
    refused("an absolute target with backslashes", get(b"http:\\\\sluice.test/v1/models")),
    refused("an absolute target without a scheme", get(b"://sluice.test/v1/models")),
)

SPELLINGS = PATHS + HOSTS + KEYS + FIELDS + FRAMING + LINES
