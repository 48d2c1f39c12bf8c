from __future__ import annotations

import pytest

from bench.load.answers import AnswerReader, Ending

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
WHOLE = HEAD + b"9\r\ndata: 1\n\n\r\n10\r\ndata: [DONE]\n\n\r\n0\r\n\r\n"


def follow(data: bytes, size: int, *, stream: bool = True, close: bool = False) -> AnswerReader:
    """A reader that was fed the data in pieces of this size."""
    reader = AnswerReader(stream=stream)
    for start in range(0, len(data), size):
        reader.feed(data[start : start + size])
    if close:
        reader.close()
    return reader


@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_whole_stream(size: int) -> None:
    """It is complete at its last chunk, however it was cut."""
    assert follow(WHOLE, size).ending is Ending.COMPLETE
    assert follow(WHOLE[:-1], size).ending is Ending.OPEN


def test_a_stream_without_its_end_mark() -> None:
    """A clean end of body does not make it complete."""
    assert follow(HEAD + b"9\r\ndata: 1\n\n\r\n0\r\n\r\n", 1000).ending is Ending.CUT


def test_a_stream_cut_by_the_connection() -> None:
    """It is a cut, unless the end mark had come."""
    assert follow(HEAD + b"9\r\ndata: 1", 1000, close=True).ending is Ending.CUT
    unframed = b"HTTP/1.1 200 OK\r\n\r\ndata: 1\n\ndata: [DONE]\n\n"
    assert follow(unframed, 1000, close=True).ending is Ending.COMPLETE


@pytest.mark.parametrize("size", [1, 7, 1000])
def test_an_answer_with_a_length(size: int) -> None:
    """It is complete with its last byte."""
    data = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
    assert follow(data, size, stream=False).ending is Ending.COMPLETE
    assert follow(data[:-1], size, stream=False).ending is Ending.OPEN


def test_an_empty_answer_with_a_length() -> None:
    """It is complete with its head."""
    data = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"
    reader = follow(data, 1000)
    assert (reader.ending, reader.status) == (Ending.REFUSED, 503)
