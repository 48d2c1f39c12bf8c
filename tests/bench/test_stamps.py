from __future__ import annotations

import pytest

from bench.stamps import LENGTH, StampReader, stamp

STREAM = (
    b'data: {"a": "' + stamp(12, 3) + b'"}\n\ndata: {"@": "' + stamp(10**16, 10**16 - 1) + b'"}'
)
FOUND = [(12, 3), (10**16, 10**16 - 1)]


def read(pieces: list[bytes]) -> list[tuple[int, int]]:
    """What a reader finds in the pieces."""
    reader = StampReader()
    return [stamp for piece in pieces for stamp in reader.feed(piece)]


def test_a_stamp_is_written() -> None:
    """Every stamp has the same length, so every chunk of a stream has."""
    assert len(stamp(0, 0)) == len(stamp(10**16, 5)) == LENGTH


def test_a_stream_in_one_piece() -> None:
    """All stamps are found, and nothing else is taken for one."""
    assert read([STREAM]) == FOUND


def test_a_stream_byte_by_byte() -> None:
    """Where the bytes are cut makes no difference."""
    assert read([STREAM[i : i + 1] for i in range(len(STREAM))]) == FOUND


@pytest.mark.parametrize("size", [2, 7, LENGTH - 1, LENGTH, LENGTH + 1])
def test_a_stream_in_pieces(size: int) -> None:
    """A stamp that spans two reads counts once."""
    assert read([STREAM[i : i + size] for i in range(0, len(STREAM), size)]) == FOUND
