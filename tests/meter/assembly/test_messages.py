"""An Anthropic message, put together from events as its documentation shows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.meter.assembly.messages import whole_message

START = {"type": "message_start", "message": {"id": "msg_1", "content": [], "usage": {"in": 3}}}
END = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"out": 2, "x": None},
}


def block(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_start", "index": index, "content_block": content}


def delta(index: int, **content: Any) -> dict[str, Any]:
    return {"type": "content_block_delta", "index": index, "delta": content}


def whole(*events: dict[str, Any]) -> dict[str, Any] | None:
    return whole_message([f"data: {json.dumps(event)}\n\n".encode() for event in events])


def test_what_comes_before_the_message_is_none_of_it() -> None:
    """Nothing is made up where there was no beginning."""
    assert whole(delta(0, type="text_delta", text="a")) is None
    assert whole(END, START) == {"id": "msg_1", "content": [], "usage": {"in": 3}}


def test_its_end_is_taken_into_it() -> None:
    """Usage that is null says nothing; so does an end without words."""
    message = whole(START, END, {"type": "message_delta"})
    assert message is not None
    assert (message["stop_reason"], message["usage"]) == ("end_turn", {"in": 3, "out": 2})


@pytest.mark.parametrize(
    ("deltas", "expected"),
    [
        (
            [{"type": "text_delta", "text": "a"}, {"type": "text_delta", "text": "b"}],
            {"text": "ab"},
        ),
        (
            [
                {"type": "citations_delta", "citation": 1},
                {"type": "citations_delta", "citation": 2},
            ],
            {"citations": [1, 2]},
        ),
        (
            [
                {"type": "input_json_delta", "partial_json": '{"a":'},
                {"type": "input_json_delta", "partial_json": " 1}"},
            ],
            {"input": {"a": 1}},
        ),
        ([{"type": "input_json_delta", "partial_json": ""}], {"input": {}}),
        ([{"type": "input_json_delta", "partial_json": '{"cut'}], {"input": '{"cut'}),
        ([{"type": "of_next_year", "text": "?"}], {}),
    ],
)
def test_pieces_of_a_block(deltas: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    """Texts are joined, citations listed, arguments parsed where they are whole."""
    events = [delta(0, **fields) for fields in deltas]
    message = whole(START, block(1, type="text", text="z"), block(0, type="b"), *events)
    assert message is not None
    assert message["content"] == [{"type": "b", **expected}, {"type": "text", "text": "z"}]
