"""OpenAI's streamed transcriptions: a stream that no family of chat answers resembles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.demo.ask import Ask, birth
from proxy.demo.events import DONE, Event, Part, event
from proxy.demo.families.chat import trouble
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.grammar import split_model
from proxy.demo.text import FILL, template

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan

_AUDIO_TOKENS = 37


def read(body: Mapping[str, Any], plan: Plan) -> Ask:
    """Read the form's fields."""
    seed, created = birth(plan)
    return Ask(
        plan=replace(plan, reasoning=0, tools=0),
        model=split_model(str(body.get("model", "")))[0],
        stream=True,
        prompt_tokens=_AUDIO_TOKENS if plan.prompt is None else plan.prompt,
        seed=seed,
        created=created,
    )


def events(ask: Ask) -> Iterator[Event]:
    """Give the stream's events in order."""
    before, after = template({"type": "transcript.text.delta", "delta": FILL.decode()})
    for token in ask.deltas():
        yield Event(before + token + after, Part.TOKEN)
    yield event({"type": "transcript.text.done", **whole(ask)}, Part.FINISH)
    yield DONE


def whole(ask: Ask) -> dict[str, Any]:
    """Give the answer in one piece."""
    return {"text": ask.text(), "usage": _usage(ask)} if ask.tells_usage else {"text": ask.text()}


def _usage(ask: Ask) -> dict[str, Any]:
    return {
        "type": "tokens",
        "total_tokens": ask.prompt_tokens + ask.output_tokens,
        "input_tokens": ask.prompt_tokens,
        "input_token_details": {"text_tokens": 0, "audio_tokens": ask.prompt_tokens},
        "output_tokens": ask.output_tokens,
    }


TRANSCRIPTS = Family(
    name="transcripts", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble
)
