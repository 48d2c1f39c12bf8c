from __future__ import annotations

import json
from typing import Any

from bench.stamps import StampReader
from bench.upstream.events import STREAM_END, Chunks, answer


def events(data: bytes) -> list[dict[str, Any]]:
    """The JSON of every event in chunked coding, chunk sizes checked."""
    documents = []
    while data:
        size, _, data = data.partition(b"\r\n")
        event, data = data[: int(size, 16)], data[int(size, 16) :]
        assert data.startswith(b"\r\n")
        data = data[2:]
        if event.startswith(b"data: {"):
            documents.append(json.loads(event.removeprefix(b"data: ")))
    return documents


def test_a_token() -> None:
    """One event in one chunk, whose text is the stamp."""
    chunks = Chunks("paced-1-1-0")
    (event,) = events(chunks.token(5, 4))
    text = event["choices"][0]["delta"]["content"]
    assert StampReader().feed(text.encode()) == [(5, 4)]
    assert event["model"] == "paced-1-1-0"


def test_the_end_of_a_stream() -> None:
    """A finish reason, then the end mark, then the last chunk."""
    data = Chunks("m").closing(7, usage=False)
    (finish,) = events(data.removesuffix(b"0\r\n\r\n"))
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert data.endswith(STREAM_END)


def test_usage_was_asked_for() -> None:
    """It stands in an event of its own without choices, as OpenAI sends it."""
    data = Chunks("m").closing(7, usage=True)
    usage = events(data.removesuffix(b"0\r\n\r\n"))[1]
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 7


def test_an_answer_that_is_not_streamed() -> None:
    """Its length is the length of its JSON."""
    head, _, body = answer("m", 3, 1).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["choices"][0]["message"]["content"] == " word word word"
