"""Compressed bodies: a request's in pieces, a response's however its bytes are cut."""

from __future__ import annotations

import gzip
import zlib

import pytest

from proxy.errors import BadRequest, BodyTooLarge
from proxy.http.decompress import PIECE_BYTES, DecompressedBody, Decompressor, can_decompress

TEXT = b'{"model": "m"}' * 100
EVENTS = b"data: 1\n\n" * 50


def decompress(body: bytes, coding: str, max_bytes: int) -> bytes:
    """All of a request's body at once."""
    return b"".join(iter(DecompressedBody(body, coding, max_bytes).piece, b""))


def raw_deflate(data: bytes) -> bytes:
    """Deflate without the zlib wrapper that the coding's name stands for."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


@pytest.mark.parametrize(
    ("packed", "coding"),
    [
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT), "x-gzip"),
        (gzip.compress(TEXT[:500]) + gzip.compress(TEXT[500:]), "gzip"),
        (zlib.compress(TEXT), "deflate"),
        (raw_deflate(TEXT), "deflate"),
    ],
    ids=["gzip", "x-gzip", "members", "deflate", "raw"],
)
def test_a_compressed_body_is_what_it_was(packed: bytes, coding: str) -> None:
    """All of it, also where it was compressed in several members."""
    assert decompress(packed, coding, len(TEXT)) == TEXT


def test_nothing_stands_for_nothing() -> None:
    """An empty body is empty in any coding."""
    assert decompress(b"", "gzip", 10) == b""


def test_a_single_byte_is_no_body() -> None:
    """It is told as what it is, in any coding."""
    for coding in ("gzip", "deflate"):
        with pytest.raises(BadRequest, match=coding):
            decompress(b"x", coding, 10)


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
    body = DecompressedBody(gzip.compress(bytes(5 * PIECE_BYTES + 7)), "gzip", 10 * PIECE_BYTES)
    sizes = [len(piece) for piece in iter(body.piece, b"")]
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
    fed = DecompressedBody(packed, "gzip", 10_000)
    with pytest.raises(BadRequest, match="members"):
        fed.piece()
    assert len(fed._remaining) > len(packed) * 0.99


def test_a_thousand_members_are_let_in() -> None:
    """Tools that pack block by block make one for each."""
    assert decompress(gzip.compress(b"x") * 1000, "gzip", 10_000) == b"x" * 1000


def test_work_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever else takes long is ended by the time that it has taken."""
    monkeypatch.setattr("proxy.http.decompress._MAX_SECONDS", -1.0)
    with pytest.raises(BadRequest, match="too long"):
        decompress(gzip.compress(TEXT), "gzip", 10_000)


@pytest.mark.parametrize(
    ("coding", "known"),
    [("gzip", True), ("deflate", True), ("zstd", False), ("br", False), ("identity", False)],
)
def test_other_codings_are_left_alone(coding: str, known: bool) -> None:
    """They pass unread."""
    assert can_decompress(coding) is known


@pytest.mark.parametrize(
    ("coding", "packed"),
    [
        ("gzip", gzip.compress(EVENTS)),
        ("x-gzip", gzip.compress(EVENTS[:9]) + gzip.compress(EVENTS[9:])),
        ("deflate", zlib.compress(EVENTS)),
        ("deflate", raw_deflate(EVENTS)),
    ],
    ids=["gzip", "members", "deflate", "raw"],
)
@pytest.mark.parametrize("size", [1, 7, 10_000])
def test_the_text_is_the_same_however_it_is_cut(coding: str, packed: bytes, size: int) -> None:
    """Whole, in pieces and byte by byte."""
    decompressor = Decompressor(coding)
    pieces = (packed[start : start + size] for start in range(0, len(packed), size))
    assert b"".join(map(decompressor.feed, pieces)) == EVENTS


def test_an_event_that_was_flushed_is_there_at_once() -> None:
    """Nothing is held back until the end of the body."""
    packer, decompressor = zlib.compressobj(wbits=31), Decompressor("gzip")
    for event in (b"data: 1\n\n", b"data: 2\n\n"):
        sent = packer.compress(event) + packer.flush(zlib.Z_SYNC_FLUSH)
        assert decompressor.feed(sent) == event


@pytest.mark.parametrize(
    "data", [b"data: 1\n\n", gzip.compress(EVENTS)[:-8] + bytes(8)], ids=["plain", "damaged"]
)
def test_broken_bytes_are_an_error(data: bytes) -> None:
    """What is not compressed, or wrongly, is told."""
    with pytest.raises(ValueError, match="Error -3"):
        Decompressor("gzip").feed(data)


def test_a_bomb_is_an_error() -> None:
    """A few kilobytes that stand for a gigabyte do not fill the memory."""
    with pytest.raises(ValueError, match="More than"):
        Decompressor("gzip").feed(gzip.compress(bytes(64 * 1024 * 1024)))


def test_many_empty_members_in_one_read() -> None:
    """They stand for nothing, and the text behind them is not lost."""
    assert Decompressor("gzip").feed(gzip.compress(b"") * 3000 + gzip.compress(EVENTS)) == EVENTS


def test_the_limit_is_of_one_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The limit is one of each read, not of the body."""
    monkeypatch.setattr("proxy.http.decompress._MAX_READ_BYTES", 1000)
    packer, decompressor = zlib.compressobj(wbits=31), Decompressor("gzip")
    for _ in range(3):
        sent = packer.compress(bytes(999)) + packer.flush(zlib.Z_SYNC_FLUSH)
        assert len(decompressor.feed(sent)) == 999
    with pytest.raises(ValueError, match="More than 1000"):
        decompressor.feed(packer.compress(bytes(1001)) + packer.flush(zlib.Z_SYNC_FLUSH))
