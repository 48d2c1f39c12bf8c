from __future__ import annotations

import pytest

from proxy.demo.events import DONE, Part
from proxy.demo.families.chat import CHAT, read
from proxy.demo.generation_request import GenerationRequest, InvalidRequestError
from proxy.demo.plan import Plan
from proxy.demo.tool_calls import calls_for
from tests.demo.families.recorded import keys, recording, said, streamed

SAID = [{"role": "user", "content": "hello"}]
TOOL = {"type": "function", "function": {"name": "look", "parameters": {}}}


def test_chunks_look_like_the_recorded_ones() -> None:
    """Each key of a real chunk is there, on all levels; only `service_tier` is the demo's own."""
    real = recording("openai-chat-text")
    ours = said(streamed(CHAT, include_usage=True))
    for place in (0, 1, -2, -1):
        assert keys(real[place]) <= keys(ours[place])
    assert keys(ours[0]) - keys(real[0]) == {"service_tier"}
    assert keys(real[0], "choices", 0) == keys(ours[0], "choices", 0)
    assert keys(real[0], "choices", 0, "delta") == keys(ours[0], "choices", 0, "delta")


def test_tool_calls_look_like_the_recorded_ones() -> None:
    """Name and id come first, then arguments alone."""
    real = recording("openai-chat-tools-parallel")
    ours = said(streamed(CHAT, calls=calls_for([], 2)))
    for place in (1, 2):
        path = ("choices", 0, "delta", "tool_calls", 0)
        assert keys(real[place], *path) == keys(ours[place], *path)
        assert keys(real[place], *path, "function") == keys(ours[place], *path, "function")
    assert ours[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_parts() -> None:
    """Roles open, tokens are tokens, usage and mark come last."""
    parts = [event.part for event in streamed(CHAT, include_usage=True)]
    assert parts == [Part.OPEN, *[Part.TOKEN] * 4, Part.FINISH, Part.USAGE, Part.END]
    assert streamed(CHAT)[-1] == DONE


def test_choices_advance_together() -> None:
    """Only the first choice's tokens take time, so that the rate holds for each choice."""
    events = streamed(CHAT, choices=2)
    tokens = [event.part for event in events[2:-3]]
    assert tokens == [Part.TOKEN, Part.OPEN] * 4


@pytest.mark.parametrize(
    ("more", "calls"),
    [
        ({}, 0),
        ({"tools": [TOOL]}, 0),
        ({"tools": [TOOL], "tool_choice": "required"}, 1),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, 1),
        ({"tools": [TOOL], "tool_choice": "auto"}, 0),
    ],
)
def test_tools_that_the_request_forces(more: dict[str, object], calls: int) -> None:
    """Tools are called when the request demands it, or the plan."""
    body = {"model": "demo", "messages": SAID, **more}
    assert len(read(body, Plan()).calls) == calls
    assert len(read(body, Plan(tools=3)).calls) == 3


def test_what_the_request_may_set() -> None:
    """Stream, usage, choices and both spellings of the cap."""
    options = {"stream": True, "stream_options": {"include_usage": True}, "n": 2}
    ask = read({"model": "demo;x", "messages": SAID, "max_tokens": 5, **options}, Plan())
    assert (ask.model, ask.stream, ask.include_usage, ask.choices) == ("demo", True, True, 2)
    body = {"model": "m", "messages": SAID, "max_completion_tokens": 4, "max_tokens": 5}
    assert (ask.cap, read(body, Plan()).cap) == (5, 4)
    with pytest.raises(InvalidRequestError):
        read({"model": "demo", "messages": SAID, "n": 0}, Plan())


def test_a_whole_answer_without_usage() -> None:
    """The fault takes the usage away."""
    ask = GenerationRequest(plan=Plan(), model="demo", stream=False, prompt_tokens=1)
    bare = GenerationRequest(
        plan=Plan(faults={"no-usage": True}), model="d", stream=False, prompt_tokens=1
    )
    assert "usage" in CHAT.whole(ask)
    assert "usage" not in CHAT.whole(bare)
