"""What hostile upstreams answer, and what the client must get for it: the table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tests.upstream.peer import EVENTS, LAST_CHUNK, chunk, plain

Said = bytes | float
"""Bytes to write, or seconds to wait."""
Asks = Literal["get", "head", "post", "stream"]


@dataclass(frozen=True)
class Row:
    """One answer and what becomes of it."""

    name: str
    says: tuple[Said, ...]
    status: int
    body: bytes | None = None
    """The whole body where it must be just that."""
    cut: bool = False
    """The connection to the client must break off within the body."""
    never: tuple[bytes, ...] = ()
    """What may not be in the answer, in lower case."""
    has: tuple[bytes, ...] = ()
    """What must be in it, in lower case."""
    asks: Asks = "get"
    then: Literal["wait", "close", "reset"] = "wait"


OK = b"HTTP/1.1 200 OK\r\n"
TWO = b"Content-Length: 2\r\n\r\nok"
NOBODYS = plain(b"nobodys", "408 Request Timeout")
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EVENT = b'data: {"id":"a","choices":[{"index":0,"delta":{"content":"x"}}]}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = EVENTS + chunk(EVENT) + chunk(DONE) + LAST_CHUNK
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </secret>\r\n\r\n"


def _bad(name: str, *says: Said, then: Literal["wait", "close", "reset"] = "wait") -> Row:
    """No answer at all: 502, which says why."""
    return Row(name, says, 502, has=(b'"code": "upstream_',), never=(b"secret",), then=then)


def _head(name: str, fields: bytes) -> Row:
    """A head that cannot be one for its fields."""
    return _bad(name, OK + fields + b"\r\n\r\nok")


def _passes(name: str, fields: bytes, *never: bytes, has: tuple[bytes, ...] = ()) -> Row:
    """An answer whose fields do not all pass."""
    return Row(name, (OK + fields + b"\r\n" + TWO,), 200, b"ok", never=never, has=has)


def _cut(name: str, *says: Said, then: Literal["wait", "close", "reset"] = "wait") -> Row:
    """A body that is broken: so is the client's."""
    return Row(name, says, 200, cut=True, never=(b"secret",), then=then)


def _stream_cut(name: str, *says: Said, then: Literal["wait", "close", "reset"] = "wait") -> Row:
    """A stream that is broken: the event says so, and the connection breaks off."""
    error = (b'"error"',)
    steps = (EVENTS + chunk(EVENT), *says)
    return Row(name, steps, 200, cut=True, has=error, asks="stream", never=(b"[done]",), then=then)


NO_HTTP = (
    _bad("nothing, then closes", then="close"),
    _bad("nothing, then resets", then="reset"),
    _bad("half a status line", b"HTTP/1.1 20", then="close"),
    _bad("half a head", OK + b"Content-Le", then="close"),
    _bad("half a head, reset", OK + b"Content-Le", then="reset"),
    _bad("a head without its end", OK + b"A: b\r\n", then="close"),
    _bad("ssh", b"SSH-2.0-OpenSSH_9\r\n"),
    _bad("smtp", b"220 secret.example ESMTP\r\n"),
    _bad("a tls alert", b"\x15\x03\x01\x00\x02\x02\x28"),
    _bad("a tls hello", b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03"),
    _bad("http/2 frames", b"\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x80"),
    _bad("http/0.9", b"<html>secret</html>", then="close"),
    _bad("a redis error", b"-ERR unknown command\r\n"),
    _bad("http/2.0 in words", b"HTTP/2.0 200 OK\r\n" + TWO),
    _bad("http/1.2", b"HTTP/1.2 200 OK\r\n" + TWO),
    _bad("http/11", b"HTTP/11 200 OK\r\n" + TWO),
    _bad("lower case", b"http/1.1 200 ok\r\n" + TWO),
    _bad("icy", b"ICY 200 OK\r\n" + TWO),
    _bad("spaces first", b"  HTTP/1.1 200 OK\r\n" + TWO),
    _bad("a byte order mark first", b"\xef\xbb\xbf" + OK + TWO),
    _bad("a nul first", b"\0" + OK + TWO),
)

STATUSES = tuple(
    _bad(f"the status line {line!r}", b"HTTP/1.1" + line + b"\r\n" + TWO)
    for line in (
        b" 000 Zero",
        b" 099 Low",
        b" 600 High",
        b" 999 Higher",
        b" 2 Short",
        b" 20 Short",
        b" 2000 Long",
        b" -20 Less",
        b" +20 More",
        b" 2e2 Power",
        b" abc Words",
        b" 0x0 Hex",
        b"200 OK",
        b"  200 OK",
        b"\t200 OK",
        b" 200OK",
        b"",
        b" ",
        b" 200 a\0b",
        b" 200 a\x01b",
        b" 200 a\x08b",
        b" 200 a\x0bb",
        b" 200 a\x1b[31mb",
        b" 200 a\x7fb",
        b" 200 a\rb",
        b" 200 OK\rSet-Cookie: secret=1",
        b" 200 " + b"x" * 300_000,
        b" 101 Switching Protocols",
        b" 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade",
    )
)

HEADS = (
    _head("a line without a colon", b"no colon"),
    _head("a field without a name", b": secret"),
    _head("a space in a name", b"X Y: 1"),
    _head("a nul in a value", b"X: a\0b"),
    _head("a bare CR in a value", b"X: a\rX-Secret: 1"),
    _head("one field of 300 KiB", b"X: " + b"y" * 300_000),
    _head("20,000 fields", b"X: 12345678\r\n" * 20_000 + b"A: b"),
    _head("2,000 fields", b"X: 1\r\n" * 2000 + b"A: b"),
    _head("two lengths that differ", b"Content-Length: 2\r\nContent-Length: 3"),
    _head("a list of lengths", b"Content-Length: 2, 3"),
    _head("a negative length", b"Content-Length: -2"),
    _head("a signed length", b"Content-Length: +2"),
    _head("a length in hex", b"Content-Length: 0x2"),
    _head("two lengths in one", b"Content-Length: 2 2"),
    _head("a length with a power", b"Content-Length: 1e3"),
    _head("a length in words", b"Content-Length: two"),
    _head("a length of 20 digits", b"Content-Length: 99999999999999999999"),
    _head("a length of 2 to the 64th", b"Content-Length: 18446744073709551616"),
    _bad("1,000 interim answers at once", EARLY_HINTS * 1000 + OK + TWO),
    _bad("1,000 times 100 Continue", b"HTTP/1.1 100 Continue\r\n\r\n" * 1000 + OK + TWO),
    _bad("65 interim answers in pieces", *(EARLY_HINTS,) * 65, OK + TWO),
    _bad("an interim answer, then the end", EARLY_HINTS, then="close"),
    _bad("an interim answer, then a reset", EARLY_HINTS, then="reset"),
    _bad("an interim answer, then another protocol", EARLY_HINTS + b"SSH-2.0-x\r\n"),
    _bad("an interim answer, then 101", EARLY_HINTS + b"HTTP/1.1 101 X\r\n\r\n"),
    _bad(
        "interim answers of 300 KiB", (EARLY_HINTS[:-2] + b"A: " + b"b" * 99_000 + b"\r\n\r\n") * 3
    ),
    Row("64 interim answers", (EARLY_HINTS * 64 + OK + TWO,), 200, b"ok", never=(b"secret",)),
    Row("an interim answer with a body", (EARLY_HINTS + b"x" + OK + TWO,), 502, never=(b"secret",)),
)

FIELDS = (
    *(
        _passes(
            f"{name.decode()} is an order to nginx",
            name + b": " + value,
            b"x-accel-r",
            b"x-accel-l",
        )
        for name, value in (
            (b"X-Accel-Redirect", b"/readyz"),
            (b"x-accel-redirect", b"/internal/secret"),
            (b"X-Accel-Limit-Rate", b"1"),
        )
    ),
    _passes("nginx is told to expire", b"X-Accel-Expires: 99", b"x-accel-expires"),
    _passes("nginx is told a charset", b"X-Accel-Charset: utf-7", b"x-accel-charset", b"utf-7"),
    _passes("nginx is told to buffer", b"X-Accel-Buffering: yes", b"x-accel-buffering: yes"),
    _passes("another host's ports", b'Alt-Svc: h3="evil:443"', b"alt-svc", b"evil"),
    _passes("origins", b"Access-Control-Allow-Origin: *", b"allow-origin"),
    _passes("credentials", b"Access-Control-Allow-Credentials: true", b"allow-credentials"),
    _passes("a hop's own field", b"Connection: X-Mine\r\nX-Mine: secret", b"secret"),
    _passes("two lists of such", b"Connection: close\r\nConnection: X-B\r\nX-B: secret", b"secret"),
    _passes("keep-alive", b"Keep-Alive: timeout=secret", b"secret"),
    _passes("a proxy's question", b"Proxy-Authenticate: Basic realm=secret", b"secret"),
    _passes("a proxy's connection", b"Proxy-Connection: secret", b"secret"),
    _passes("an upgrade", b"Upgrade: secret", b"secret"),
    _passes("a trailer's name", b"Trailer: X-Secret", b"secret"),
    _passes("another request's id", b"X-Request-ID: forged", b"\nx-request-id: forged"),
    _passes("a control character", b"X-A: a\x01b", b"\x01"),
    _passes("an escape sequence", b"X-A: \x1b[31mred", b"\x1b"),
    _passes("bytes that are no UTF-8", b"X-A: \xff\xfe", has=(b"x-a:",)),
    _passes("a Location elsewhere", b"Location: http://evil.example/", has=(b"evil.example",)),
)

_WHOLE: tuple[tuple[str, bytes, int, bytes, Asks], ...] = (
    ("a length", OK + TWO, 200, b"ok", "get"),
    ("chunks", CHUNKED + chunk(b"ok") + LAST_CHUNK, 200, b"ok", "post"),
    ("204", b"HTTP/1.1 204 No Content\r\n\r\n", 204, b"", "get"),
    ("304", b"HTTP/1.1 304 Not Modified\r\n\r\n", 304, b"", "get"),
    ("HEAD", OK + b"Content-Length: 2\r\n\r\n", 200, b"", "head"),
    ("a stream", STREAM, 200, EVENT + DONE, "stream"),
)

AFTERWARDS = tuple(
    Row(
        f"{kind}, then {what}", (answer + now, *later), status, body, asks=asks, never=(b"nobodys",)
    )
    for what, now, later in (
        ("another answer", NOBODYS, ()),
        ("half an answer", NOBODYS[:9], ()),
        ("garbage", b"nobodys" * 9, ()),
        ("another answer 1 ms later", b"", (0.001, NOBODYS)),
        ("another answer 50 ms later", b"", (0.05, NOBODYS)),
    )
    for kind, answer, status, body, asks in _WHOLE
)

_BROKEN_CHUNKS: tuple[tuple[str, bytes, Literal["wait", "close", "reset"]], ...] = (
    ("a size that is none", b"zz\r\nok\r\n", "wait"),
    ("a negative size", b"-2\r\nok\r\n", "wait"),
    ("no size", b"\r\nok\r\n", "wait"),
    ("a size of 17 digits", b"fffffffffffffffff\r\nok\r\n", "wait"),
    ("a size in 0x", b"0x2\r\nok\r\n", "wait"),
    ("a chunk longer than its size", b"1\r\nok\r\n", "wait"),
    ("a chunk without its end", b"2\r\nokok", "wait"),
    ("a cut in a size", b"2", "close"),
    ("a cut in a chunk", b"20\r\nok", "close"),
    ("a cut before the last chunk", b"2\r\nok\r\n", "close"),
    ("a cut in the last chunk", b"2\r\nok\r\n0\r\n", "close"),
    ("a reset in a chunk", b"20\r\nok", "reset"),
    ("a reset before the last chunk", b"2\r\nok\r\n", "reset"),
)

BODIES = (
    *(
        _cut(f"{name} in a body", CHUNKED + chunk(b"{}"), 0.01, said, then=then)
        for name, said, then in _BROKEN_CHUNKS
    ),
    *(
        _stream_cut(f"{name} in a stream", 0.01, said, then=then)
        for name, said, then in _BROKEN_CHUNKS
    ),
    _cut("fewer bytes than its length", OK + b"Content-Length: 20\r\n\r\nok", then="close"),
    _cut("a reset within its length", OK + b"Content-Length: 20\r\n\r\nok", 0.01, then="reset"),
    Row("more than its length", (OK + TWO + b"more",), 200, b"ok", never=(b"more",)),
    Row("a body of no length", (OK + b"Content-Length: 0\r\n\r\nmore",), 200, b""),
    Row("an extension", (CHUNKED + b"2;a=secret\r\nok\r\n" + LAST_CHUNK,), 200, b"ok"),
    Row(
        "trailers",
        (CHUNKED + chunk(b"ok") + b"0\r\nX-Secret: 1\r\n\r\n",),
        200,
        b"ok",
        never=(b"secret",),
    ),
    Row("the close ends it", (b"HTTP/1.0 200 OK\r\n\r\nok",), 200, b"ok", then="close"),
    _stream_cut("an end without its mark", LAST_CHUNK),
    _stream_cut("half an event, then the end", chunk(EVENT[:30]) + LAST_CHUNK),
    Row("a stream without events", (EVENTS + LAST_CHUNK,), 502, asks="stream"),
    Row("a stream cut at its beginning", (EVENTS,), 502, asks="stream", then="close"),
    Row("an answer to a stream that is none", (OK + TWO,), 200, b"ok", asks="stream"),
    Row(
        "gzip that is none",
        (EVENTS[:-2] + b"Content-Encoding: gzip\r\n\r\n" + chunk(b"secret") + LAST_CHUNK,),
        502,
        asks="stream",
        never=(b"secret",),
    ),
)

ROWS: tuple[Row, ...] = (*AFTERWARDS, *NO_HTTP, *STATUSES, *HEADS, *FIELDS, *BODIES)
