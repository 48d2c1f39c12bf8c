"""A compression that nobody asked for is undone, however its bytes are cut."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proxy.upstream.inflate import Inflater

TEXT = b"data: 1\n\n" * 50


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib wrapper that the coding's name stands for."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(TEXT)),
        ("x-gzip", gzip.compress(TEXT[:9]) + gzip.compress(TEXT[9:])),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
    ],
    ids=["gzip", "members", "deflate", "raw"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_text_is_the_same_however_it_is_cut(coding: str, packed: bytes, size: int) -> None:
    """Whole, in pieces and byte by byte."""
    inflater = Inflater(coding)
    pieces = (packed[at : at + size] for at in range(0, len(packed), size))
    assert b"".join(map(inflater.feed, pieces)) == TEXT


def test_an_event_that_was_flushed_is_there_at_once() -> None:
    """Nothing is held back until the end of the body."""
    packer, inflater = zlib.compressobj(wbits=31), Inflater("gzip")
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        sent = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        assert inflater.feed(sent) == event


@pytest.mark.parametrize(
    "data", [b"data: 1\n\n", gzip.compress(TEXT)[:-8] + bytes(8)], ids=["plain", "damaged"]
)
def test_broken_bytes_are_an_error(data: bytes) -> None:
    """What is not compressed, or wrongly, is told."""
    with pytest.raises(ValueError, match="Error -3"):
        Inflater("gzip").feed(data)


def test_a_bomb_is_an_error() -> None:
    """A few kilobytes that stand for a gigabyte do not fill the memory."""
    with pytest.raises(ValueError, match="More than"):
        Inflater("gzip").feed(gzip.compress(bytes(64 * 1024 * 1024)))


@pytest.mark.parametrize(("coding", "known"), [("gzip", True), ("br", False), ("identity", False)])
def test_what_it_cannot_undo_is_known(coding: str, known: bool) -> None:
    """Other codings are left as they are."""
    assert Inflater.knows(coding) is known
