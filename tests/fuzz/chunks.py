"""Chunked coding: cut anywhere it gives the same body, the one that a plain reading finds."""

from __future__ import annotations

import re
from unittest.mock import patch

from proxy.http import chunked_decoder
from proxy.http.chunked_decoder import ChunkedDecoder
from tests.fuzz.cuts import Target, given, pieces

MARK = re.compile(rb"\r\n(?=[0-9A-Fa-f]+\r\n)")
_SMALL = 0x80
_MAX_LINE_BYTES = 24
_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(;[^\r\n]*)?")


def check(data: bytes) -> None:
    """With the true bound on a line, or one that a short input goes over."""
    choice, sizes, text = given(data)
    cut = pieces(text, sizes, MARK)
    if choice & _SMALL:
        with patch.object(chunked_decoder, "_MAX_LINE_BYTES", _MAX_LINE_BYTES):
            same_body(cut)
    else:
        same_body(cut)


def same_body(cut: list[bytes]) -> None:
    """The pieces give the body, the end and the rest of the whole, and those are true."""
    text = b"".join(cut)
    split, whole = ChunkedDecoder(), ChunkedDecoder()
    out = b"".join(_taken(split, piece) for piece in cut)
    assert out == whole.feed(text)
    assert (split.ended, split.rest) == (whole.ended, whole.rest)
    assert str(split.broken) == str(whole.broken)
    true = decoded(text)
    assert split.ended is (true is not None)
    assert true is None or (out, split.rest) == true


def decoded(text: bytes) -> tuple[bytes, bytes] | None:
    """The body and what follows it, read plainly; None if this is no whole body."""
    body = b""
    while True:
        line, text = _line(text)
        match = _LINE.fullmatch(line or b"")
        if match is None:
            return None
        size = int(match[1], 16)
        if not size:
            break
        if text[size : size + 2] != b"\r\n":
            return None
        body, text = body + text[:size], text[size + 2 :]
    trailer: bytes | None = line
    while trailer:
        trailer, text = _line(text)
    return None if trailer is None else (body, text)


def _line(text: bytes) -> tuple[bytes | None, bytes]:
    line, end, rest = text.partition(b"\r\n")
    good = end and b"\n" not in line and len(line) + 2 <= chunked_decoder._MAX_LINE_BYTES
    return (line if good else None), rest


def _taken(coded: ChunkedDecoder, piece: bytes) -> bytes:
    """The body bytes of the piece, asked for as the fast path asks."""
    single = coded.single(piece)
    body = coded.feed(piece)
    assert single is None or (single == body and coded.single(piece) == body)
    return body


TARGET = Target(
    check,
    (
        b"",
        b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n",
        b"5;a=b\r\nhello\r\n00a \t;q\r\n0123456789\r\n0\r\nExpires: now\r\n\r\nHTTP/1.1",
        b"0\r\na\nb\r\n\r\n",
        b"1;" + b"x" * 30 + b"\r\na\r\n0\r\n" + b"t" * 30 + b"\r\n\r\n",
        b"5\r\nhello\r\nzz\r\n5\r\nlater\r\n",
        b"2\r\n\r\n\r\n1\r\n\n\r\n0\r\n\r\n",
    ),
    (0, _SMALL),
    (b"\r\n", b"0\r\n\r\n", b"0\r\n", b"1\r\na\r\n", b";a=b", b"A\r\n"),
)
