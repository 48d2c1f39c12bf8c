"""OpenAI's legacy completions."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.demo.ask import Ask, birth, needed, number_in, prompt_size
from proxy.demo.events import DONE, Event, Part, event
from proxy.demo.families.chat import trouble
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.families.openai_usage import completion_usage, wants_usage
from proxy.demo.grammar import split_model
from proxy.demo.text import FILL, template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan


def read(body: Mapping[str, Any], plan: Plan) -> Ask:
    """Read the request; raises MistakeError."""
    seed, created = birth(plan)
    return Ask(
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


def events(ask: Ask) -> Iterator[Event]:
    """Give the stream's events in order; one choice after the other."""
    for number in range(ask.choices):
        before, after = template(_chunk(ask, number, FILL.decode(), None))
        for token in ask.deltas(number):
            yield Event(before + token + after, Part.TOKEN)
    for number in range(ask.choices):
        yield event(_chunk(ask, number, "", _finish_reason(ask)), Part.FINISH)
    if ask.include_usage:
        usage = {"choices": [], "usage": completion_usage(ask)}
        yield event({**_head(ask), **usage}, Part.USAGE)
    yield DONE


def whole(ask: Ask) -> dict[str, Any]:
    """Give the answer in one piece."""
    usage = {"usage": completion_usage(ask)} if ask.tells_usage else {}
    choices = [
        _choice(number, ask.text(number), _finish_reason(ask)) for number in range(ask.choices)
    ]
    return {**_head(ask), "choices": choices, **usage}


def _head(ask: Ask) -> dict[str, Any]:
    return {
        "id": ask.ident("cmpl-"),
        "object": "text_completion",
        "created": ask.created,
        "model": ask.model,
        "system_fingerprint": "fp_sluicedemo1",
    }


def _chunk(ask: Ask, number: int, text: str, finish: str | None) -> dict[str, Any]:
    usage = {"usage": None} if ask.include_usage else {}
    return {**_head(ask), "choices": [_choice(number, text, finish)], **usage}


def _choice(number: int, text: str, finish: str | None) -> dict[str, Any]:
    return {"text": text, "index": number, "logprobs": None, "finish_reason": finish}


def _finish_reason(ask: Ask) -> str:
    return "length" if ask.capped else "stop"


COMPLETIONS = Family(
    name="completions", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble
)
