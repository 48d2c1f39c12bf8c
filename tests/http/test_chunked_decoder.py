"""Chunked coding: whole, byte by byte, with a tail, and broken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.http.chunked_decoder import ChunkedDecoder
from tests.fuzz.chunks import same_body


def coded(bodies: list[bytes], *, extension: bytes = b"", trailer: bytes = b"") -> bytes:
    """Put bodies into chunks."""
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (len(b), extension, b) for b in bodies if b)
    return chunks + b"0\r\n" + trailer + b"\r\n"


@given(
    st.lists(st.binary(max_size=40), max_size=8),
    st.sampled_from([b"", b";a=b", b" ;x", b';q="1"']),
    st.sampled_from([b"", b"Expires: now\r\n", b"a: b\r\nc: d\r\n"]),
    st.binary(max_size=5),
    st.integers(1, 50),
)
def test_the_same_body_however_it_is_cut(
    bodies: list[bytes], extension: bytes, trailer: bytes, rest: bytes, size: int
) -> None:
    """Extensions and trailers are passed over, the end is seen, and what follows it is kept."""
    text = coded(bodies, extension=extension, trailer=trailer)
    same_body([text[i : i + size] for i in range(0, len(text), size)])
    chunks = ChunkedDecoder()
    out = b"".join(chunks.feed(text[i : i + size]) for i in range(0, len(text), size))
    assert out == b"".join(bodies)
    assert chunks.ended
    chunks.feed(rest)
    assert chunks.rest == rest


@pytest.mark.parametrize(
    "text",
    [
        b"x\r\n",
        b"-1\r\n",
        b"0x5\r\nhello\r\n",
        b"1_0\r\n",
        b" 5\r\nhello",
        b"5\nhello\r\n",
        b"5\r\nhello!\r\n",
        b"5\r\nhello\n",
        b"f" * 16 + b"\r\n",
        b"5;" + b"x" * 5000,
        b"0\r\n" + b"x" * 5000,
        b"\r\n",
    ],
)
def test_what_is_no_chunked_coding(text: bytes) -> None:
    """Everything that a strict reader refuses is refused, whole and byte by byte."""
    whole, bytewise = ChunkedDecoder(), ChunkedDecoder()
    whole.feed(text)
    for i in range(len(text)):
        bytewise.feed(text[i : i + 1])
    assert whole.broken
    assert bytewise.broken
    assert not whole.ended


@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("longest", [4096, 4097])
@pytest.mark.parametrize("before", [b"1", b"0\r\nt"])
def test_the_longest_line(before: bytes, longest: int, size: int) -> None:
    """A line of 4 KiB passes and a longer one does not, whether it comes at once or in bytes."""
    line = before.rpartition(b"\n")[2]
    text = before + b";" + b"x" * (longest - len(line) - 3) + b"\r\n"
    chunks = ChunkedDecoder()
    for at in range(0, len(text), size):
        chunks.feed(text[at : at + size])
    assert (chunks.broken is None) is (longest == 4096)


@pytest.mark.parametrize("size", [1, 4, 100])
def test_a_line_feed_alone_ends_no_trailer(size: int) -> None:
    """However it comes: two readers of such a trailer could see two ends."""
    chunks, text = ChunkedDecoder(), b"0\r\na: b\nc: d\r\n\r\n"
    for at in range(0, len(text), size):
        chunks.feed(text[at : at + size])
    assert chunks.broken
    assert not chunks.ended


def test_what_came_before_a_fault() -> None:
    """It is given out, and nothing after it."""
    chunks = ChunkedDecoder()
    assert chunks.feed(b"5\r\nhello\r\nzz\r\n5\r\nlater\r\n") == b"hello"
    assert chunks.feed(b"5\r\nlater\r\n") == b""
    assert chunks.broken


@pytest.mark.parametrize("text", [b"5\r\nhel", b"5\r\nhello", b"5\r\nhello\r\n0\r\n", b"5\r", b""])
def test_a_body_that_has_not_ended(text: bytes) -> None:
    """Only the last chunk and the empty line after it end a body."""
    chunks = ChunkedDecoder()
    chunks.feed(text)
    assert not chunks.ended


def test_one_whole_chunk() -> None:
    """The common case is told at once, and only where it is just that."""
    assert ChunkedDecoder().single(b"5\r\nhello\r\n") == b"hello"
    for other in (
        b"5\r\nhello\r\n5\r\nhello\r\n",
        b"0\r\n\r\n",
        b"5\r\nhello",
        b"5;a\r\nhello\r\n",
        b"6\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"+5\r\nhello\r\n",
        b"\r\n",
    ):
        assert ChunkedDecoder().single(other) is None
    begun = ChunkedDecoder()
    begun.feed(b"9\r\nhel")
    assert begun.single(b"5\r\nhello\r\n") is None
