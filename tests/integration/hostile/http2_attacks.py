"""Frames that break the rules of HTTP/2 (RFC 9113), and floods of such as keep them."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import hpack

from tests.integration.hostile import http2_rows

if TYPE_CHECKING:
    from collections.abc import Callable

DATA, HEADERS, PRIORITY, RESET, SETTINGS, PUSH, PING, GOAWAY, WINDOW, CONTINUATION = range(10)
ACK = END_STREAM = 1
END_HEADERS, PADDED, PRIORITIZED = 4, 8, 32
WHOLE = END_HEADERS | END_STREAM
MODELS = hpack.Encoder().encode([(name, value, True) for name, value in http2_rows.MODELS])
_PROTOCOL, _FLOW, _SIZE, _COMPRESSION, _CALM = 1, 3, 6, 9, 11


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """A frame, whatever is in it."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def headers(stream: int, flags: int = WHOLE, block: bytes = MODELS) -> bytes:
    """A request's HEADERS."""
    return frame(HEADERS, flags, stream, block)


def setting(name: int, value: int) -> bytes:
    """One setting."""
    return frame(SETTINGS, 0, 0, struct.pack(">HI", name, value))


@dataclass(frozen=True)
class Broken:
    """Frames after which the connection ends, with one of these codes."""

    name: str
    sent: bytes
    code: int = _PROTOCOL


@dataclass(frozen=True)
class Flood:
    """Frames without end."""

    name: str
    batch: Callable[[int], bytes]
    """The n-th piece of it."""
    first: bytes = b""


_REST = b"\0" * 4
BROKEN = (
    Broken("settings on a stream", frame(SETTINGS, 0, 1)),
    Broken("settings of five bytes", frame(SETTINGS, 0, 0, b"x" * 5), _SIZE),
    Broken("an acknowledgement with settings", frame(SETTINGS, ACK, 0, b"x" * 6), _SIZE),
    Broken("a window that is too large", setting(4, 2**31), _FLOW),
    Broken("frames that are too small", setting(5, 100)),
    Broken("a push that is neither on nor off", setting(2, 2)),
    Broken("a ping on a stream", frame(PING, 0, 1, b"x" * 8)),
    Broken("a ping of seven bytes", frame(PING, 0, 0, b"x" * 7), _SIZE),
    Broken("a window of no more", frame(WINDOW, 0, 0, _REST)),
    Broken("a window beyond its limit", frame(WINDOW, 0, 0, b"\x7f\xff\xff\xff"), _FLOW),
    Broken("a window of three bytes", frame(WINDOW, 0, 0, b"\0" * 3), _SIZE),
    Broken("a stream's window of no more", headers(1, 4) + frame(WINDOW, 0, 1, _REST)),
    Broken("data on no stream", frame(DATA, 1, 0, b"a")),
    Broken("a stream of the server's", headers(2)),
    Broken("a request on no stream", headers(0)),
    Broken("a stream before the last", headers(5) + headers(3)),
    Broken("a stream twice", headers(1) + headers(1)),
    Broken("a reset of no stream", frame(RESET, 0, 0, _REST)),
    Broken("a reset of three bytes", headers(1, 4) + frame(RESET, 0, 1, b"\0" * 3), _SIZE),
    Broken("a push by the client", frame(PUSH, END_HEADERS, 1, b"\0\0\0\x02" + MODELS)),
    Broken("a continuation of nothing", frame(CONTINUATION, END_HEADERS, 1, MODELS)),
    Broken("data within a head", headers(1, 0) + frame(DATA, 1, 1, b"a")),
    Broken("another stream's continuation", headers(1, 0) + frame(CONTINUATION, END_HEADERS, 3)),
    Broken("more padding than frame", headers(1, WHOLE | PADDED, b"\xff" + MODELS)),
    Broken("more padding than data", headers(1, 4) + frame(DATA, WHOLE | PADDED, 1, b"\xff")),
    Broken("a head of 32 KB in one frame", headers(1, block=MODELS + b"\0" * 32_000)),
    Broken("an index of none", headers(1, block=b"\x80"), _COMPRESSION),
    Broken("an index beyond the table", headers(1, block=b"\xff\x80\x01"), _COMPRESSION),
    Broken("a number without end", headers(1, block=b"\xff" * 21), _COMPRESSION),
    Broken("a text beyond the head", headers(1, block=b"\0\x7f\xff\xffab"), _CALM),
    Broken(
        "a table beyond its limit", headers(1, block=b"\x3f\xff\xff\x7f" + MODELS), _COMPRESSION
    ),
    Broken("a stream that waits for itself", frame(PRIORITY, 0, 1, b"\0\0\0\x01\x01")),
    Broken("a request that does", headers(1, WHOLE | PRIORITIZED, b"\0\0\0\x01\x01" + MODELS)),
    Broken("a priority of four bytes", frame(PRIORITY, 0, 1, _REST), _SIZE),
)

IGNORED = (
    Broken("a setting that is not known", setting(0xFFF, 2), 0),
    Broken("a frame that is not known", frame(77, 255, 0, b"x" * 9), 0),
    Broken("a reset of a stream at rest", frame(RESET, 0, 1, _REST), 0),
    Broken("the client's own farewell", frame(GOAWAY, 0, 0, b"\0" * 8), 0),
)

_BOMB = MODELS + b"\x40\x01a\x7f\x81\x1e" + b"x" * 286
FLOODS = (
    Flood("pings", lambda _: frame(PING, 0, 0, b"x" * 8) * 500),
    Flood("settings", lambda _: setting(4, 65_535) * 500),
    Flood("empty settings", lambda _: frame(SETTINGS, 0, 0) * 500),
    Flood(
        "priorities",
        lambda n: b"".join(
            frame(PRIORITY, 0, 1000 * n + 2 * index + 1, b"\0\0\0\0\x01") for index in range(500)
        ),
    ),
    Flood("windows", lambda _: frame(WINDOW, 0, 0, b"\0\0\0\x01") * 500),
    Flood("frames that are not known", lambda _: frame(99, 0, 0, b"x" * 10) * 500),
    Flood("resets", lambda _: frame(RESET, 0, 1, _REST) * 500, headers(1)),
    Flood("empty data", lambda _: frame(DATA, 0, 1) * 500, headers(1, END_HEADERS)),
    Flood(
        "padding",
        lambda _: frame(DATA, PADDED, 1, b"\xff" + b"\0" * 255) * 100,
        headers(1, END_HEADERS),
    ),
    Flood("empty continuations", lambda _: frame(CONTINUATION, 0, 1) * 500, headers(1, 0)),
    Flood(
        "fields without end",
        lambda _: frame(CONTINUATION, 0, 1, b"\0\x01a\x01b" * 2000) * 5,
        headers(1, 0),
    ),
    Flood(
        "a field without end",
        lambda _: frame(CONTINUATION, 0, 1, b"a" * 16_000) * 5,
        headers(1, 0, MODELS + b"\0\x01a\x7f\xff\xff\x7f"),
    ),
    Flood(
        "a small index of a long field",
        lambda _: frame(CONTINUATION, 0, 1, b"\xbe" * 16_000),
        headers(1, 0, _BOMB),
    ),
    Flood(
        "beginnings of requests",
        lambda n: b"".join(headers(200 * n + 2 * index + 1, END_HEADERS) for index in range(100)),
    ),
    Flood(
        "bad requests",
        lambda n: b"".join(
            headers(200 * n + 2 * index + 1, WHOLE, MODELS + b"\0\x01A\x01b")
            for index in range(100)
        ),
    ),
)
