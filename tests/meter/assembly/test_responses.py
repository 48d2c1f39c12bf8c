"""A response from its events."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.meter.assembly.responses import so_far, whole_response

BEGUN = {"type": "response.created", "response": {"id": "r", "status": "in_progress", "output": []}}
ITEM = {
    "type": "response.output_item.added",
    "output_index": 0,
    "item": {"type": "message", "content": []},
}
PART = {
    "type": "response.content_part.added",
    "output_index": 0,
    "content_index": 0,
    "part": {"type": "output_text", "text": ""},
}


def delta(text: str, **more: Any) -> dict[str, Any]:
    kind = "response.output_text.delta"
    return {"type": kind, "output_index": 0, "content_index": 0, "delta": text, **more}


def events(*documents: Any) -> list[bytes]:
    return [f"data: {json.dumps(document)}\n\n".encode() for document in documents]


@pytest.mark.parametrize("end", ["completed", "incomplete", "cancelled"])
def test_the_end_has_it_whole(end: str) -> None:
    """Each of the ends that a response can come to by itself."""
    last = {"type": f"response.{end}", "response": {"id": "r", "status": end}}
    assert whole_response(events(BEGUN, delta("a"), last)) == {"id": "r", "status": end}


def test_what_never_came_to_an_end_is_no_whole_response() -> None:
    """Nor is one that failed."""
    failed = {"type": "response.failed", "response": {"id": "r", "status": "failed"}}
    assert whole_response(events(BEGUN, delta("a"))) is None
    assert whole_response(events(BEGUN, failed)) is None


def test_as_far_as_it_has_come() -> None:
    """Text, a refusal and the arguments of a call grow where they stand."""
    call = {
        "type": "response.output_item.added",
        "output_index": 1,
        "item": {"type": "function_call", "arguments": ""},
    }
    arguments = {"type": "response.function_call_arguments.delta", "output_index": 1, "delta": "{}"}
    document = so_far(events(BEGUN, ITEM, PART, delta("He"), delta("llo"), call, arguments))
    assert (document["id"], document["status"]) == ("r", "in_progress")
    message, called = document["output"]
    assert message["content"] == [{"type": "output_text", "text": "Hello"}]
    assert called["arguments"] == "{}"


def test_an_item_that_is_done_takes_its_own_place() -> None:
    """It knows all of itself; its pieces are not doubled."""
    done = {
        "type": "response.output_item.done",
        "output_index": 0,
        "item": {"type": "message", "content": [{"type": "output_text", "text": "Hello"}]},
    }
    document = so_far(events(BEGUN, ITEM, PART, delta("Hel"), done))
    assert document["output"][0]["content"][0]["text"] == "Hello"


def test_pieces_of_what_never_began_are_left_out() -> None:
    """Also where they name no place, or one that is none."""
    odd = [delta("x"), delta("x", output_index="0"), delta("x", content_index=7)]
    document = so_far(events(BEGUN, *odd, ITEM, PART, delta("y", content_index=7)))
    assert document["output"][0]["content"] == [{"type": "output_text", "text": ""}]
    assert so_far([]) == {}
