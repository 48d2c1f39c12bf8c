"""OpenAI's legacy completions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.demo.answer_text import FILL, template
from proxy.demo.events import DONE, Event, Part, event
from proxy.demo.families.chat import trouble
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.families.openai_usage import completion_usage, wants_usage
from proxy.demo.generation_request import GenerationRequest, birth, needed, number_in, prompt_size
from proxy.demo.grammar import split_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan


def read(body: Mapping[str, Any], plan: Plan) -> GenerationRequest:
    """Read the request; raises InvalidRequestError."""
    seed, created = birth(plan)
    return GenerationRequest(
        plan=replace(plan, reasoning=0, tools=0),
        model=split_model(str(needed(body, "model")))[0],
        stream=body.get("stream") is True,
        prompt_tokens=prompt_size(plan, needed(body, "prompt")),
        cap=number_in(body, "max_tokens"),
        choices=number_in(body, "n") or 1,
        include_usage=wants_usage(body),
        seed=seed,
        created=created,
    )


def events(request: GenerationRequest) -> Iterator[Event]:
    """Yield the stream's events in order; one choice after the other."""
    for number in range(request.choices):
        before, after = template(_chunk(request, number, FILL.decode(), None))
        for token in request.deltas(number):
            yield Event(before + token + after, Part.TOKEN)
    for number in range(request.choices):
        yield event(_chunk(request, number, "", _finish_reason(request)), Part.FINISH)
    if request.include_usage:
        usage = {"choices": [], "usage": completion_usage(request)}
        yield event({**_head(request), **usage}, Part.USAGE)
    yield DONE


def whole(request: GenerationRequest) -> dict[str, Any]:
    """Return the answer in one piece."""
    usage = {"usage": completion_usage(request)} if request.tells_usage else {}
    choices = [
        _choice(number, request.text(number), _finish_reason(request))
        for number in range(request.choices)
    ]
    return {**_head(request), "choices": choices, **usage}


def _head(request: GenerationRequest) -> dict[str, Any]:
    return {
        "id": request.ident("cmpl-"),
        "object": "text_completion",
        "created": request.created,
        "model": request.model,
        "system_fingerprint": "fp_sluicedemo1",
    }


def _chunk(
    request: GenerationRequest, number: int, text: str, finish: str | None
) -> dict[str, Any]:
    usage = {"usage": None} if request.include_usage else {}
    return {**_head(request), "choices": [_choice(number, text, finish)], **usage}


def _choice(number: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": None, "finish_reason": finish}


def _finish_reason(request: GenerationRequest) -> str:
    return "length" if request.capped else "stop"


COMPLETIONS = Family(
    name="completions", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble
)
