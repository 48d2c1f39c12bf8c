from __future__ import annotations

import pytest

from proxy.demo.events import Part
from proxy.demo.families.messages import MESSAGES, PING, read
from proxy.demo.plan import Plan
from proxy.demo.tool_calls import calls_for
from tests.demo.families.recorded import keys, order, recording, said, streamed


@pytest.mark.parametrize(
    ("name", "plan", "calls"),
    [("anthropic-text", Plan(tokens=4), 0), ("anthropic-tool-use", Plan(), 1)],
)
def test_events_in_the_recorded_order(name: str, plan: Plan, calls: int) -> None:
    """The event types come as in the real stream, the ping included."""
    assert order(said(streamed(MESSAGES, plan, calls=calls_for([], calls)))) == order(
        recording(name)
    )


def test_thinking_as_recorded() -> None:
    """Thinking is a block of its own that ends with its signature."""
    real, ours = recording("anthropic-thinking"), said(streamed(MESSAGES, Plan(reasoning=3)))
    assert order(ours) == order(real)
    kinds = [event["delta"]["type"] for event in ours if event["type"] == "content_block_delta"]
    assert kinds[:4] == ["thinking_delta"] * 3 + ["signature_delta"]
    assert set(kinds[4:]) == {"text_delta"}


def test_the_message_looks_like_the_recorded_one() -> None:
    """What clients read of `message_start` and `message_delta` is there."""
    real, ours = recording("anthropic-text"), said(streamed(MESSAGES))
    assert keys(ours[0], "message") <= keys(real[0], "message")
    assert keys(ours[0], "message", "usage") <= keys(real[0], "message", "usage")
    assert keys(ours[-2]) == keys(real[-2])


def test_usage_is_spread() -> None:
    """Input stands at the start without what was cached, output at the end."""
    ours = said(streamed(MESSAGES, Plan(tokens=4, cached=5), prompt_tokens=20))
    start, end = ours[0]["message"]["usage"], ours[-2]["usage"]
    assert (start["input_tokens"], start["cache_read_input_tokens"]) == (15, 5)
    assert (start["output_tokens"], end["output_tokens"]) == (1, 4)
    bare = said(streamed(MESSAGES, Plan(faults={"no-usage": True})))
    assert bare[-2]["usage"]["output_tokens"] == 0


def test_parts_and_names() -> None:
    """Every event's name is its type; the stop reason finishes, `message_stop` ends."""
    events = streamed(MESSAGES)
    assert [event.name.decode() for event in events] == [
        document["type"] for document in said(events)
    ]
    assert [event.part for event in events[-2:]] == [Part.FINISH, Part.END]
    assert MESSAGES.ping == PING


def test_tools_that_the_request_forces() -> None:
    """`any` and `tool` force a call, `auto` does not."""
    body = {"model": "d", "max_tokens": 9, "messages": [], "tools": [{"name": "look"}]}
    for kind, calls in (("any", 1), ("tool", 1), ("auto", 0)):
        assert len(read({**body, "tool_choice": {"type": kind}}, Plan()).calls) == calls
