"""OpenAI's chat and legacy completions, put together from their chunks."""

from __future__ import annotations

import json
from typing import Any

from proxy.meter.assembly.chat import whole_chat, whole_completion


def events(*chunks: dict[str, Any]) -> list[bytes]:
    return [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]


def piece(index: int, **more: Any) -> dict[str, Any]:
    return {"id": "c", "object": "chat.completion.chunk", "choices": [{"index": index, **more}]}


def test_choices_are_sorted_and_what_is_no_chunk_is_passed_over() -> None:
    """A chunk's own kind becomes the whole's; a reason and log probabilities are kept."""
    logprobs = {"content": [{"token": "a"}]}
    document = whole_chat(
        events(
            {"note": "of a gateway"},
            piece(1, delta={"content": "b"}, logprobs=logprobs),
            piece(0, delta={"role": "assistant", "content": "a"}),
            piece(1, delta={"content": "c"}, finish_reason="stop", logprobs=logprobs),
            piece(0, delta=None),
            {"id": "c", "choices": [None], "usage": {"total_tokens": 3}},
        )
    )
    assert document is not None
    first, second = document["choices"]
    assert document["object"] == "chat.completion"
    assert (first["message"]["content"], first["finish_reason"]) == ("a", None)
    assert (second["message"]["content"], second["finish_reason"]) == ("bc", "stop")
    assert len(second["logprobs"]["content"]) == 2
    assert document["usage"] == {"total_tokens": 3}


def test_a_tool_call_loses_its_place_in_the_stream() -> None:
    """It stands in a list then."""
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": "{}"}}
    document = whole_chat(events(piece(0, delta={"tool_calls": [call]})))
    assert document is not None
    [tool_call] = document["choices"][0]["message"]["tool_calls"]
    assert tool_call == {"id": "t", "function": {"name": "f", "arguments": "{}"}}


def test_a_legacy_completion() -> None:
    """Its texts are joined; without a chunk there is none."""
    chunks = [piece(0, text=text) for text in ("a", None, "b")]
    document = whole_completion(events(*chunks))
    assert document is not None
    assert document["choices"] == [
        {"index": 0, "finish_reason": None, "logprobs": None, "text": "ab"}
    ]
    assert whole_completion([]) is None
