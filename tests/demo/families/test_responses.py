from __future__ import annotations

import pytest

from proxy.demo.events import Part
from proxy.demo.families.responses import RESPONSES, read
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from proxy.demo.tool_calls import calls_for
from tests.demo.families.recorded import keys, order, recording, said, streamed


def test_events_in_the_recorded_order() -> None:
    """A text has the event types of the real stream, in the same order."""
    real = recording("openai-responses-text")
    ours = said(streamed(RESPONSES))
    # The recording opens with an empty reasoning item, which the demo only sends when asked.
    wanted = order(real)[:2] + order(real)[4:]
    assert order(ours) == wanted
    deltas = [
        next(event for event in both if event["type"].endswith("delta")) for both in (real, ours)
    ]
    assert keys(deltas[0]) - keys(deltas[1]) == {"obfuscation"}


def test_a_call_in_the_recorded_order() -> None:
    """A tool call has the event types of the real stream, in the same order."""
    real = recording("openai-responses-tool")
    ours = said(streamed(RESPONSES, calls=calls_for([], 1)))
    assert order(ours) == order(real)


def test_events_are_numbered_and_named() -> None:
    """Numbers have no gap, and each event's name is its type."""
    events = streamed(RESPONSES, Plan(tokens=3, reasoning=2))
    values = said(events)
    assert [value["sequence_number"] for value in values] == list(range(len(values)))
    assert [event.name.decode() for event in events] == [value["type"] for value in values]


def test_the_closing_events_repeat_the_text() -> None:
    """Deltas, the done events and the final response say the same."""
    values = said(streamed(RESPONSES, Plan(tokens=5)))
    deltas = "".join(value["delta"] for value in values if value["type"].endswith("text.delta"))
    done = next(value for value in values if value["type"] == "response.output_text.done")
    final = values[-1]["response"]
    assert deltas == done["text"] == final["output"][0]["content"][0]["text"]
    assert final["usage"]["output_tokens"] == 5


def test_usage_stands_only_at_the_end() -> None:
    """While it is in progress the response has none, and with the fault never."""
    values = said(streamed(RESPONSES))
    bare = said(streamed(RESPONSES, Plan(faults={"no-usage": True})))
    assert values[0]["response"]["usage"] is None
    assert values[-1]["response"]["usage"]
    assert bare[-1]["response"]["usage"] is None


@pytest.mark.parametrize(
    ("sent", "name", "kind"), [(0, b"error", "error"), (5, b"response.failed", "response.failed")]
)
def test_trouble(sent: int, name: bytes, kind: str) -> None:
    """In place of an answer it is an `error`, in its midst a failed response, with its number."""
    ask = GenerationRequest(plan=Plan(), model="demo", stream=True, prompt_tokens=1)
    event = RESPONSES.trouble(ask, 500, sent)
    (value,) = said([event])
    assert (event.name, event.part) == (name, Part.TROUBLE)
    assert (value["type"], value["sequence_number"]) == (kind, sent)


def test_what_the_request_may_set() -> None:
    """Input, instructions and tools are the prompt; a forced tool is called."""
    tools = [{"type": "function", "name": "look", "parameters": {}}]
    body = {"model": "demo", "input": "x" * 40, "instructions": "y" * 40}
    ask = read({**body, "tools": tools, "tool_choice": "required"}, Plan())
    assert ask.prompt_tokens >= 20
    assert [call.name for call in ask.calls] == ["look"]
