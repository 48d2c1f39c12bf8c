from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from proxy.demo.demo_response import (
    Caller,
    DemoResponse,
    answer,
    early,
    generated,
    redirect,
    refusal,
)
from proxy.demo.families.chat import CHAT
from proxy.demo.families.family import ANTHROPIC, OPENAI
from proxy.demo.generation_request import GenerationRequest
from proxy.demo.plan import Plan
from proxy.demo.response_head import Framing
from proxy.demo.steps import Action

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.demo.grammar_values import Value

CALLER = Caller("req_1")


def made(faults: Mapping[str, Value] | None = None, *, stream: bool = True) -> DemoResponse:
    """Make a reply with the faults."""
    plan = Plan(tokens=3, faults=faults or {})
    ask = GenerationRequest(plan=plan, model="demo", stream=stream, prompt_tokens=1)
    return generated(ask, CHAT, CALLER)


def acts(reply: DemoResponse) -> list[Action]:
    """Give what the steps do."""
    return [step.do for step in reply.steps]


def test_a_stream() -> None:
    """The head comes first and at once, then each event, then the end."""
    reply = made()
    steps = list(reply.steps)
    assert (reply.status, reply.framing) == (200, Framing.CHUNKED)
    assert steps[0].do is Action.RAW
    assert b"\r\nContent-Type: text/event-stream; charset=utf-8\r\n" in steps[0].data
    assert steps[-1].do is Action.FINISH


def test_an_answer_in_one_piece_waits_with_its_head() -> None:
    """Head and body of JSON leave together."""
    plan = Plan(ttft=0.5)
    ask = GenerationRequest(plan=plan, model="demo", stream=False, prompt_tokens=1)
    head, body, _ = generated(ask, CHAT, CALLER).steps
    assert head.at == body.at == 0.5
    assert b"\r\nContent-Length: %d\r\n" % len(body.data) in head.data


@pytest.mark.parametrize(
    ("fault", "first"),
    [
        ("refuse", Action.CLOSE),
        ("reset", Action.RESET),
        ("hang-before", Action.HANG),
    ],
)
def test_before_the_head(fault: str, first: Action) -> None:
    """These faults act before a byte is out."""
    assert acts(made({fault: 1.0}))[0] is first


def test_after_the_head() -> None:
    """An interim head stands before the real one, the silence after it."""
    reply = made({"informational": 103, "hang-headers": 1.0})
    steps = list(reply.steps)
    assert steps[0].data.startswith(b"HTTP/1.1 103 Early Hints\r\n")
    assert [step.do for step in steps[1:3]] == [Action.RAW, Action.HANG]


@pytest.mark.parametrize(("fault", "status"), [("overloaded", 529), ("error", 500)])
def test_errors_of_a_whole_answer(fault: str, status: int) -> None:
    """Where no stream was asked for, an error has its status."""
    assert made({fault: 1}, stream=False).status == status


def test_the_length_counts_the_long_line() -> None:
    """A false length is false by what was asked for, even when the body is never held."""
    reply = made({"line": 1_000_000, "length-long": 5})
    steps = list(reply.steps)
    length = int(steps[0].data.split(b"Content-Length: ")[1].split(b"\r\n")[0])
    body = sum(len(step.data) for step in steps if step.do is Action.SEND)
    assert length == body + 999_999 + 5


def test_a_refusal_has_the_providers_shape_and_headers() -> None:
    """Body, request id and limits are the provider's; a 429 has spent them."""
    head, body, _ = refusal(Plan(), ANTHROPIC, CALLER, 429, "slow down").steps
    assert json.loads(body.data)["error"]["type"] == "rate_limit_error"
    assert b"\r\nrequest-id: req_1\r\n" in head.data
    assert b"\r\nanthropic-ratelimit-requests-remaining: 0\r\n" in head.data
    assert b"\r\nRetry-After: 1\r\n" in head.data


def test_other_answers() -> None:
    """Values, redirects and early refusals have their status and their JSON."""
    value = answer(Plan(), OPENAI, CALLER, {"a": 1})
    moved = redirect(Plan(faults={"redirect": 302}), CALLER, "/there")
    hasty = early(Plan(faults={"answer-early": 413}), CALLER)
    assert [reply.status for reply in (value, moved, hasty)] == [200, 302, 413]
    assert b"\r\nLocation: /there\r\n" in next(iter(moved.steps)).data
    assert b"\r\nConnection: close\r\n" in next(iter(hasty.steps)).data
