"""A generated content from its chunks."""

from __future__ import annotations

import json
from typing import Any

from proxy.meter.assembly.gemini import whole_content


def whole(*chunks: Any) -> Any:
    return whole_content(f"data: {json.dumps(chunk)}\r\n\r\n".encode() for chunk in chunks)


def part(text: str, index: int = 0, **more: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": [{"text": text, **more}]}
    return {"candidates": [{"index": index, "content": content}]}


def test_text_of_one_kind_is_joined() -> None:
    """Thoughts and the answer stay apart, also where they alternate."""
    document = whole(part("a", thought=True), part("b", thought=True), part("c"), part("d"))
    assert document["candidates"][0]["content"]["parts"] == [
        {"text": "ab", "thought": True},
        {"text": "cd"},
    ]


def test_what_is_no_text_is_a_part_of_its_own() -> None:
    """A call between two texts keeps its place."""
    call: Any = {"candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}]}}]}
    parts = whole(part("a"), call, part("b"))["candidates"][0]["content"]["parts"]
    assert parts == [{"text": "a"}, {"functionCall": {"name": "f"}}, {"text": "b"}]


def test_candidates_stand_in_their_order() -> None:
    """Whichever came first."""
    document = whole(part("second", 1), part("first", 0))
    texts = [each["content"]["parts"][0]["text"] for each in document["candidates"]]
    assert texts == ["first", "second"]


def test_the_last_word_on_usage_holds() -> None:
    """It grows from chunk to chunk; the finish reason comes with the last."""
    end = {"candidates": [{"finishReason": "STOP"}], "usageMetadata": {"totalTokenCount": 9}}
    document = whole({**part("a"), "usageMetadata": {"totalTokenCount": 3}}, end)
    assert document["usageMetadata"] == {"totalTokenCount": 9}
    assert document["candidates"][0]["finishReason"] == "STOP"


def test_odd_chunks_break_nothing() -> None:
    """What is of another shape is kept or left out, and no error is part of an answer."""
    odd: list[Any] = [
        {"candidates": [None, {"content": "x"}, {"content": {"parts": ["y"]}}]},
        {"error": {"code": 500}},
    ]
    assert whole(*odd)["candidates"][0]["content"]["parts"] == ["y"]
    assert whole() is None
    assert whole({"error": {"code": 500}}) is None
