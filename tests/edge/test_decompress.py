"""Compressed request bodies."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proxy.edge.decompress import PIECE_BYTES, Unpacked, can_decompress, decompress
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
    assert decompress(packed, coding, len(TEXT)) == TEXT


def test_nothing_stands_for_nothing() -> None:
    """An empty body is empty in any coding."""
    assert decompress(b"", "gzip", 10) == b""


@pytest.mark.parametrize(
    "packed",
    [b"plain", gzip.compress(TEXT)[:-5], gzip.compress(b"") + b"x"],
    ids=["plain", "cut short", "garbage behind"],
)
def test_what_is_not_compressed_is_the_clients_mistake(packed: bytes) -> None:
    """Neither half a body nor one of another kind is guessed at."""
    with pytest.raises(BadRequest, match="gzip"):
        decompress(packed, "gzip", 10_000)


def test_a_small_body_may_not_become_a_huge_one() -> None:
    """A hundred kilobytes can stand for a hundred megabytes; the limit holds for those."""
    with pytest.raises(BodyTooLarge, match="1000 bytes"):
        decompress(gzip.compress(bytes(10_000_000)), "gzip", 1000)


def test_it_comes_in_pieces() -> None:
    """So that memory is asked for as it grows, and a client that leaves ends the work."""
    unpacked = Unpacked(gzip.compress(bytes(5 * PIECE_BYTES + 7)), "gzip", 10 * PIECE_BYTES)
    sizes = [len(piece) for piece in iter(unpacked.piece, b"")]
    assert sum(sizes) == 5 * PIECE_BYTES + 7
    assert max(sizes) == PIECE_BYTES


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1])
def test_a_size_at_the_edge_of_a_piece(size: int) -> None:
    """Not a byte is lost where a piece, the body and the limit end together."""
    assert decompress(gzip.compress(bytes(size)), "gzip", size) == bytes(size)
    with pytest.raises(BodyTooLarge):
        decompress(gzip.compress(bytes(size)), "gzip", size - 1)


def test_many_empty_members() -> None:
    """They stand for nothing, and copies of the rest after each took time by the square."""
    packed = gzip.compress(b"") * 1_000_000
    fed = Unpacked(packed, "gzip", 10_000)
    with pytest.raises(BadRequest, match="members"):
        fed.piece()
    assert len(fed._left) > len(packed) * 0.99


def test_a_thousand_members_are_let_in() -> None:
    """Tools that pack block by block make one for each."""
    assert decompress(gzip.compress(b"x") * 1000, "gzip", 10_000) == b"x" * 1000


def test_work_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else takes long is ended by the time that it has taken."""
    monkeypatch.setattr("proxy.edge.decompress._LONGEST_SECONDS", -1.0)
    with pytest.raises(BadRequest, match="too long"):
        decompress(gzip.compress(TEXT), "gzip", 10_000)


def test_other_codings_are_left_alone() -> None:
    """They pass unread."""
    assert can_decompress("gzip")
    assert not can_decompress("zstd")
