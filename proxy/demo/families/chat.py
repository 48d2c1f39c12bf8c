"""OpenAI chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.demo import shapes
from proxy.demo.ask import Ask, birth, needed, number_in, prompt_size
from proxy.demo.events import DONE, Event, Part, event
from proxy.demo.families.family import OPENAI, Family
from proxy.demo.families.openai_usage import completion_usage, wants_usage
from proxy.demo.grammar import split_model
from proxy.demo.text import FILL, template
from proxy.demo.tools import calls_for, tools_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from proxy.demo.plan import Plan

_FILLER = FILL.decode()


def read(body: Mapping[str, Any], plan: Plan) -> Ask:
    """Read the request; raises MistakeError."""
    model = str(needed(body, "model"))
    messages = needed(body, "messages")
    choice = body.get("tool_choice")
    forced = choice == "required" or isinstance(choice, dict)
    seed, created = birth(plan)
    return Ask(
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


def events(ask: Ask) -> Iterator[Event]:
    """Give the stream's events in order."""
    for choice in range(ask.choices):
        content = None if ask.calls else ""
        opening = {"role": "assistant", "content": content, "refusal": None}
        yield event(_chunk(ask, choice, opening), Part.OPEN)
    yield from _tokens(ask, 0, {"reasoning_content": _FILLER}, ask.thoughts())
    yield from _texts(ask)
    yield from _tool_calls(ask)
    for choice in range(ask.choices):
        yield event(_chunk(ask, choice, {}, _finish_reason(ask)), Part.FINISH)
    if ask.include_usage:
        yield event({**_head(ask), "choices": [], "usage": completion_usage(ask)}, Part.USAGE)
    yield DONE


def _texts(ask: Ask) -> Iterator[Event]:
    said = [
        _tokens(ask, choice, {"content": _FILLER}, ask.deltas(choice))
        for choice in range(ask.choices)
    ]
    if len(said) == 1:
        yield from said[0]
        return
    # All choices advance together: the first keeps the time, the others leave with it.
    for together in zip(*said, strict=True):
        yield together[0]
        yield from (other._replace(part=Part.OPEN) for other in together[1:])


def _tokens(ask: Ask, choice: int, delta: dict[str, Any], said: Iterator[bytes]) -> Iterator[Event]:
    before, after = template(_chunk(ask, choice, delta))
    for token in said:
        yield Event(before + token + after, Part.TOKEN)


def _tool_calls(ask: Ask) -> Iterator[Event]:
    for index, call in enumerate(ask.calls):
        named = {"name": call.name, "arguments": ""}
        ident = ask.ident("call_", str(index), 24)
        opening = {"index": index, "id": ident, "type": "function", "function": named}
        yield event(_chunk(ask, 0, {"tool_calls": [opening]}), Part.OPEN)
        piece = {"index": index, "function": {"arguments": _FILLER}}
        yield from _tokens(ask, 0, {"tool_calls": [piece]}, iter(call.pieces))


def _head(ask: Ask) -> dict[str, Any]:
    return {
        "id": ask.ident("chatcmpl-"),
        "object": "chat.completion.chunk",
        "created": ask.created,
        "model": ask.model,
        "service_tier": "default",
        "system_fingerprint": "fp_sluicedemo1",
    }


def _chunk(
    ask: Ask, choice: int, delta: dict[str, Any], finish: str | None = None
) -> dict[str, Any]:
    choices = [{"index": choice, "delta": delta, "logprobs": None, "finish_reason": finish}]
    # Once usage is asked for, every chunk has the field, and only the extra one a value.
    usage = {"usage": None} if ask.include_usage else {}
    return {**_head(ask), "choices": choices, **usage}


def _finish_reason(ask: Ask) -> str:
    if ask.calls:
        return "tool_calls"
    return "length" if ask.capped else "stop"


def whole(ask: Ask) -> dict[str, Any]:
    """Give the answer in one piece."""
    usage = {"usage": completion_usage(ask)} if ask.tells_usage else {}
    choices = [_choice(ask, number) for number in range(ask.choices)]
    return {**_head(ask), "object": "chat.completion", "choices": choices, **usage}


def _choice(ask: Ask, number: int) -> dict[str, Any]:
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None}
    if ask.calls:
        message["tool_calls"] = [
            {
                "id": ask.ident("call_", str(index), 24),
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for index, call in enumerate(ask.calls)
        ]
    else:
        message["content"] = ask.text(number)
    if ask.plan.reasoning:
        message["reasoning_content"] = ask.thought()
    return {
        "index": number,
        "message": message,
        "logprobs": None,
        "finish_reason": _finish_reason(ask),
    }


def trouble(ask: Ask, status: int, sent: int) -> Event:  # noqa: ARG001 - Trouble's signature
    """Give the error chunk."""
    return event(shapes.openai(status, shapes.message_for(status)), Part.TROUBLE)


CHAT = Family(name="chat", dialect=OPENAI, read=read, events=events, whole=whole, trouble=trouble)
