from __future__ import annotations

from typing import Any

from proxy.demo.families.responses_object import output_of, response_of
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from proxy.demo.tool_calls import calls_for
from tests.demo.families.recorded import keys, recording


def ask(plan: Plan, **more: object) -> GenerationRequest:
    """Ask for a whole answer."""
    values: dict[str, Any] = {"plan": plan, "model": "m", "stream": False, "prompt_tokens": 3}
    return GenerationRequest(**{**values, **more})


def test_the_object_looks_like_the_recorded_one() -> None:
    """No key is the demo's own, and what clients read is there."""
    real = recording("openai-responses-text")[-1]["response"]
    ours = response_of(ask(Plan()), "completed", [])
    assert keys(ours) <= keys(real)
    assert {"id", "status", "output", "usage", "model", "error"} <= keys(ours)
    assert keys(ours, "usage") <= keys(real, "usage")


def test_output() -> None:
    """Reasoning comes first, then the message, or the calls instead."""
    text = output_of(ask(Plan(reasoning=2)), "completed")
    calls = output_of(ask(Plan(reasoning=2), calls=calls_for([], 2)), "completed")
    assert [item["type"] for item in text] == ["reasoning", "message"]
    assert [item["type"] for item in calls] == ["reasoning", "function_call", "function_call"]


def test_why_it_is_incomplete() -> None:
    """Only an incomplete response has a reason."""
    request = ask(Plan())
    assert (
        response_of(request, "incomplete", [])["incomplete_details"]["reason"]
        == "max_output_tokens"
    )
    assert response_of(request, "completed", [])["incomplete_details"] is None
