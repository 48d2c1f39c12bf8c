from __future__ import annotations

from typing import Any

import pytest

from proxy.demo.families.openai_usage import completion_usage, wants_usage
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from tests.demo.families.recorded import keys, recording


def test_usage_looks_like_the_recorded_one() -> None:
    """The keys are the real ones, and the numbers add up."""
    plan = Plan(tokens=4, reasoning=3, cached=2)
    usage = completion_usage(
        GenerationRequest(plan=plan, model="demo", stream=True, prompt_tokens=10)
    )
    real = recording("openai-chat-detailed-usage")[-1]["usage"]
    assert keys(usage) == keys(real)
    assert keys(usage, "completion_tokens_details") == keys(real, "completion_tokens_details")
    assert (usage["completion_tokens"], usage["total_tokens"]) == (7, 17)


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({"stream_options": {"include_usage": True}}, True),
        ({"stream_options": {"include_usage": False}}, False),
        ({"stream_options": None}, False),
        ({}, False),
    ],
)
def test_usage_is_asked_for(body: dict[str, Any], wanted: bool) -> None:
    """Only a plain true asks for it."""
    assert wants_usage(body) is wanted
