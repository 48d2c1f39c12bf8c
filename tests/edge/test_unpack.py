"""Compressed request bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proxy.edge.unpack import knows, unpack
from proxy.errors import BadRequest, BodyTooLarge

TEXT = b'{"model": "m"}' * 100


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), "x-gzip"),
        (gzip.compress(TEXT[:500]) + gzip.compress(TEXT[500:]), "gzip"),
        (zlib.compress(TEXT), "deflate"),
    ],
    ids=["gzip", "x-gzip", "members", "deflate"],
)
def test_a_compressed_body_is_what_it_was(packed: bytes, coding: str) -> None:
    """All of it, also where it was compressed in several members."""
    assert unpack(packed, coding, len(TEXT)) == TEXT


def test_nothing_stands_for_nothing() -> None:
    """An empty body is empty in any coding."""
    assert unpack(b"", "gzip", 10) == b""


@pytest.mark.parametrize(
    "packed",
    [b"plain", gzip.compress(TEXT)[:-5], gzip.compress(b"") + b"x"],
    ids=["plain", "cut short", "garbage behind"],
)
def test_what_is_not_compressed_is_the_clients_mistake(packed: bytes) -> None:
    """Neither half a body nor one of another kind is guessed at."""
    with pytest.raises(BadRequest, match="gzip"):
        unpack(packed, "gzip", 10_000)


def test_a_small_body_may_not_become_a_huge_one() -> None:
    """A hundred kilobytes can stand for a hundred megabytes; the limit holds for those."""
    with pytest.raises(BodyTooLarge, match="1000 bytes"):
        unpack(gzip.compress(bytes(10_000_000)), "gzip", 1000)


def test_other_codings_are_left_alone() -> None:
    """They pass unread."""
    assert knows("gzip")
    assert not knows("zstd")
