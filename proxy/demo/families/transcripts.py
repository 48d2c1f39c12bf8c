"""OpenAI's streamed transcriptions: a stream that no family of chat answers resembles."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from proxy.demo.answer_text import FILL, template
from proxy.demo.events import DONE, Event, Part, event
from proxy.demo.families.chat import trouble
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.generation_request import GenerationRequest, birth
from proxy.demo.grammar import split_model

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan

_AUDIO_TOKENS = 37


def read(body: Mapping[str, Any], plan: Plan) -> GenerationRequest:
    """Read the form's fields."""
    seed, created = birth(plan)
    return GenerationRequest(
        plan=replace(plan, reasoning=0, tools=0),
        model=split_model(str(body.get("model", "")))[0],
        stream=True,
        prompt_tokens=_AUDIO_TOKENS if plan.prompt is None else plan.prompt,
        seed=seed,
        created=created,
    )


def events(request: GenerationRequest) -> Iterator[Event]:
    """Yield the stream's events in order."""
    before, after = template({"type": "transcript.text.delta", "delta": FILL.decode()})
    for token in request.deltas():
        yield Event(before + token + after, Part.TOKEN)
    yield event({"type": "transcript.text.done", **whole(request)}, Part.FINISH)
    yield DONE


def whole(request: GenerationRequest) -> dict[str, Any]:
    """Return the answer in one piece."""
    return (
        {"text": request.text(), "usage": _usage(request)}
        if request.tells_usage
        else {"text": request.text()}
    )


def _usage(request: GenerationRequest) -> dict[str, Any]:
    return {
        "type": "tokens",
        "total_tokens": request.prompt_tokens + request.output_tokens,
        "input_tokens": request.prompt_tokens,
        "input_token_details": {"text_tokens": 0, "audio_tokens": request.prompt_tokens},
        "output_tokens": request.output_tokens,
    }


TRANSCRIPTS = Family(
    name="transcripts", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble
)
