"""OpenAI chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo import error_bodies
from proxy.demo.answer_text import FILL, template
from proxy.demo.events import DONE, Event, Part, event
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.families.openai_usage import completion_usage, wants_usage
from proxy.demo.generation_request import GenerationRequest, birth, needed, number_in, prompt_size
from proxy.demo.grammar import split_model
from proxy.demo.tool_calls import calls_for, tools_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan

_FILLER = FILL.decode()


def read(body: Mapping[str, Any], plan: Plan) -> GenerationRequest:
    """Read the request; raises InvalidRequestError."""
    model = str(needed(body, "model"))
    messages = needed(body, "messages")
    choice = body.get("tool_choice")
    forced = choice == "required" or isinstance(choice, dict)
    seed, created = birth(plan)
    return GenerationRequest(
        plan=plan,
        model=split_model(model)[0],
        stream=body.get("stream") is True,
        prompt_tokens=prompt_size(plan, messages, body.get("tools")),
        cap=number_in(body, "max_completion_tokens", "max_tokens"),
        choices=number_in(body, "n") or 1,
        include_usage=wants_usage(body),
        calls=calls_for(
            tools_in(body.get("tools"), "function", "parameters"), plan.tools or int(forced)
        ),
        seed=seed,
        created=created,
    )


def events(request: GenerationRequest) -> Iterator[Event]:
    """Yield the stream's events in order."""
    for choice in range(request.choices):
        content = None if request.calls else ""
        opening = {"role": "assistant", "content": content, "refusal": None}
        yield event(_chunk(request, choice, opening), Part.OPEN)
    yield from _tokens(request, 0, {"reasoning_content": _FILLER}, request.thoughts())
    yield from _texts(request)
    yield from _tool_calls(request)
    for choice in range(request.choices):
        yield event(_chunk(request, choice, {}, _finish_reason(request)), Part.FINISH)
    if request.include_usage:
        yield event(
            {**_head(request), "choices": [], "usage": completion_usage(request)}, Part.USAGE
        )
    yield DONE


def _texts(request: GenerationRequest) -> Iterator[Event]:
    choices = [
        _tokens(request, choice, {"content": _FILLER}, request.deltas(choice))
        for choice in range(request.choices)
    ]
    if len(choices) == 1:
        yield from choices[0]
        return
    # All choices advance together: the first one sets the time, and the others are sent with it.
    for together in zip(*choices, strict=True):
        yield together[0]
        yield from (other._replace(part=Part.OPEN) for other in together[1:])


def _tokens(
    request: GenerationRequest, choice: int, delta: dict[str, Any], deltas: Iterator[bytes]
) -> Iterator[Event]:
    before, after = template(_chunk(request, choice, delta))
    for token in deltas:
        yield Event(before + token + after, Part.TOKEN)


def _tool_calls(request: GenerationRequest) -> Iterator[Event]:
    for index, call in enumerate(request.calls):
        named = {"name": call.name, "arguments": ""}
        ident = request.ident("call_", str(index), 24)
        opening = {"index": index, "id": ident, "type": "function", "function": named}
        yield event(_chunk(request, 0, {"tool_calls": [opening]}), Part.OPEN)
        piece = {"index": index, "function": {"arguments": _FILLER}}
        yield from _tokens(request, 0, {"tool_calls": [piece]}, iter(call.pieces))


def _head(request: GenerationRequest) -> dict[str, Any]:
    return {
        "id": request.ident("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": request.created,
        "model": request.model,
        "service_tier": "default",
        "system_fingerprint": "fp_sluicedemo1",
    }


def _chunk(
    request: GenerationRequest, choice: int, delta: dict[str, Any], finish: str | None = None
) -> dict[str, Any]:
    choices = [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
    # If usage is requested, every chunk has the field, but only the extra one has a value.
    usage = {"usage": None} if request.include_usage else {}
    return {**_head(request), "choices": choices, **usage}


def _finish_reason(request: GenerationRequest) -> str:
    if request.calls:
        return "tool_calls"
    return "length" if request.capped else "stop"


def whole(request: GenerationRequest) -> dict[str, Any]:
    """Return the answer in one piece."""
    usage = {"usage": completion_usage(request)} if request.tells_usage else {}
    choices = [_choice(request, number) for number in range(request.choices)]
    return {**_head(request), "object": "chat.completion", "choices": choices, **usage}


def _choice(request: GenerationRequest, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if request.calls:
        message["tool_calls"] = [
            {
                "id": request.ident("call_", str(index), 24),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(request.calls)
        ]
    else:
        message["content"] = request.text(number)
    if request.plan.reasoning:
        message["reasoning_content"] = request.thought()
    return {
        "index": number,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(request),
    }


def trouble(request: GenerationRequest, status: int, sent: int) -> Event:  # noqa: ARG001 - Trouble's signature
    """Return the error chunk."""
    return event(error_bodies.openai(status, error_bodies.message_for(status)), Part.TROUBLE)


CHAT = Family(name="chat", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble)
