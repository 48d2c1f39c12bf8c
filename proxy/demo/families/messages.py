"""Anthropic messages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from proxy.demo import error_bodies
from proxy.demo.answer_text import FILL, template
from proxy.demo.events import Event, Part, event
from proxy.demo.families.family import ANTHROPIC, Family
from proxy.demo.generation_request import GenerationRequest, birth, needed, number_in, prompt_size
from proxy.demo.grammar import split_model
from proxy.demo.tool_calls import calls_for, tools_in

if TYPE_CHECKING:
    from proxy.demo.plan import Plan

Deltas = Callable[[GenerationRequest, int], Iterator[Event]]

_SIGNATURE_LENGTH = 64
_FORCING = ("any", "tool")


def read(body: Mapping[str, Any], plan: Plan) -> GenerationRequest:
    """Read the request; raises InvalidRequestError."""
    model = str(needed(body, "model"))
    needed(body, "max_tokens")
    choice = body.get("tool_choice")
    forced = isinstance(choice, Mapping) and choice.get("type") in _FORCING
    seed, created = birth(plan)
    return GenerationRequest(
        plan=plan,
        model=split_model(model)[0],
        stream=body.get("stream") is True,
        prompt_tokens=count_tokens(body, plan),
        cap=number_in(body, "max_tokens"),
        calls=calls_for(tools_in(body.get("tools"), "", "input_schema"), plan.tools or int(forced)),
        seed=seed,
        created=created,
    )


def count_tokens(body: Mapping[str, Any], plan: Plan) -> int:
    """Count a request's input tokens; raises InvalidRequestError."""
    return prompt_size(plan, needed(body, "messages"), body.get("system"), body.get("tools"))


def events(request: GenerationRequest) -> Iterator[Event]:
    """Yield the stream's events in order."""
    message = {**_message(request, [], None), "usage": _usage(request, 1)}
    yield _event("message_start", Part.OPEN, message=message)
    pinged = False
    for index, (block, block_events) in enumerate(_blocks(request)):
        yield _event("content_block_start", Part.OPEN, index=index, content_block=block)
        if not pinged:
            yield PING
            pinged = True
        yield from block_events(request, index)
        yield _event("content_block_stop", Part.OPEN, index=index)
    delta = {"stop_reason": _stop_reason(request), "stop_sequence": None}
    usage = _usage(request, request.output_tokens)
    yield _event("message_delta", Part.FINISH, delta=delta, usage=usage)
    yield _event("message_stop", Part.END)


def _blocks(request: GenerationRequest) -> Iterator[tuple[dict[str, Any], Deltas]]:
    if request.plan.reasoning:
        yield {"type": "thinking", "thinking": "", "signature": ""}, _thinking
    if not request.calls:
        yield {"type": "text", "text": ""}, _text
    for number in range(len(request.calls)):
        yield _tool_use(request, number, {}), _arguments


def _thinking(request: GenerationRequest, index: int) -> Iterator[Event]:
    delta = {"type": "thinking_delta", "thinking": FILL.decode()}
    yield from _deltas(index, delta, request.thoughts())
    signed = {"type": "signature_delta", "signature": _signature(request)}
    yield _event("content_block_delta", Part.OPEN, index=index, delta=signed)


def _text(request: GenerationRequest, index: int) -> Iterator[Event]:
    return _deltas(index, {"type": "text_delta", "text": FILL.decode()}, request.deltas())


def _arguments(request: GenerationRequest, index: int) -> Iterator[Event]:
    call = request.calls[index - int(request.plan.reasoning > 0)]
    delta = {"type": "input_json_delta", "partial_json": FILL.decode()}
    return _deltas(index, delta, iter(call.pieces))


def _deltas(index: int, delta: dict[str, Any], deltas: Iterator[bytes]) -> Iterator[Event]:
    before, after = template({"type": "content_block_delta", "index": index, "delta": delta})
    for token in deltas:
        yield Event(before + token + after, Part.TOKEN, b"content_block_delta")


def _event(kind: str, part: Part, **fields: Any) -> Event:
    return event({"type": kind, **fields}, part, kind)


def _message(
    request: GenerationRequest, content: list[dict[str, Any]], stopped: str | None
) -> dict[str, Any]:
    return {
        "id": request.ident("msg_", length=24),
        "type": "message",
        "role": "assistant",
        "model": request.model,
        "content": content,
        "stop_reason": stopped,
        "stop_sequence": None,
    }


def _usage(request: GenerationRequest, output: int) -> dict[str, Any]:
    factor = int(request.tells_usage)
    return {
        # Anthropic counts cached tokens apart from the input.
        "input_tokens": (request.prompt_tokens - request.cached_tokens) * factor,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": request.cached_tokens * factor,
        "output_tokens": output * factor,
        "service_tier": "standard",
    }


def _tool_use(request: GenerationRequest, number: int, arguments: Any) -> dict[str, Any]:
    ident = request.ident("toolu_", str(number), 24)
    return {
        "type": "tool_use",
        "id": ident,
        "name": request.calls[number].name,
        "input": arguments,
    }


def _signature(request: GenerationRequest) -> str:
    return request.ident("", "signature", _SIGNATURE_LENGTH)


def _stop_reason(request: GenerationRequest) -> str:
    if request.calls:
        return "tool_use"
    return "max_tokens" if request.capped else "end_turn"


def whole(request: GenerationRequest) -> dict[str, Any]:
    """Return the answer in one piece."""
    content: list[dict[str, Any]] = []
    if request.plan.reasoning:
        thought = {
            "type": "thinking",
            "thinking": request.thought(),
            "signature": _signature(request),
        }
        content.append(thought)
    if not request.calls:
        content.append({"type": "text", "text": request.text()})
    for number, call in enumerate(request.calls):
        content.append(_tool_use(request, number, json.loads(call.arguments)))
    usage = {"usage": _usage(request, request.output_tokens)}
    return {**_message(request, content, _stop_reason(request)), **usage}


def trouble(request: GenerationRequest, status: int, sent: int) -> Event:  # noqa: ARG001 - Trouble's signature
    """Return the `error` event."""
    body = error_bodies.anthropic(status, error_bodies.message_for(status), request.ident("req_"))
    return event(body, Part.TROUBLE, "error")


PING = Event(b'{"type": "ping"}', Part.OPEN, b"ping")

MESSAGES = Family(
    name="messages",
    dialect=ANTHROPIC,
    read=read,
    events=events,
    whole=whole,
    trouble=trouble,
    ping=PING,
)
