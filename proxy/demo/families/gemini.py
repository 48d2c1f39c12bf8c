"""Gemini's native generateContent and streamGenerateContent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.demo import error_bodies
from proxy.demo.answer_text import FILL, json_bytes, template
from proxy.demo.events import Event, Part
from proxy.demo.families.family import GEMINI, Family
from proxy.demo.generation_request import GenerationRequest, birth, needed, number_in, prompt_size
from proxy.demo.grammar import split_model
from proxy.demo.tool_calls import Tool, calls_for, tools_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.demo.plan import Plan


def read(body: Mapping[str, Any], plan: Plan) -> GenerationRequest:
    """Read the request, whose model, streaming and array form the route has put into the body.

    Raises InvalidRequestError.
    """
    config = body.get("generationConfig")
    config = config if isinstance(config, Mapping) else {}
    seed, created = birth(plan)
    return GenerationRequest(
        plan=plan,
        model=split_model(str(needed(body, "model")))[0],
        stream=body.get("stream") is True,
        array=body.get("array") is True,
        prompt_tokens=count_tokens(body, plan),
        cap=number_in(config, "maxOutputTokens"),
        calls=calls_for(_tools(body), plan.tools or int(_forced(body))),
        seed=seed,
        created=created,
    )


def count_tokens(body: Mapping[str, Any], plan: Plan) -> int:
    """Count a request's prompt tokens; raises InvalidRequestError."""
    return prompt_size(plan, needed(body, "contents"), body.get("systemInstruction"))


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    listed = body.get("tools")
    tools: list[Tool] = []
    for entry in listed if isinstance(listed, list) else []:
        declared = entry.get("functionDeclarations") if isinstance(entry, Mapping) else None
        tools += tools_in(declared, "", "parameters")
    return tools


def _forced(body: Mapping[str, Any]) -> bool:
    config = body.get("toolConfig")
    calling = config.get("functionCallingConfig") if isinstance(config, Mapping) else None
    return isinstance(calling, Mapping) and calling.get("mode") == "ANY"


def events(request: GenerationRequest) -> Iterator[Event]:
    """Yield the stream's events in order; usage so far stands in each, and there is no end mark."""
    step = request.plan.per_event
    before, after = template(_chunk(request, [{"text": FILL.decode(), "thought": True}]))
    for number, token in enumerate(request.thoughts(), 1):
        usage = _usage(request, 0, min(number * step, request.plan.reasoning))
        yield _with(before + token + after, Part.TOKEN, usage)
    before, after = template(_chunk(request, [{"text": FILL.decode()}]))
    for number, token in enumerate(request.deltas(), 1):
        usage = _usage(request, min(number * step, request.visible))
        yield _with(before + token + after, Part.TOKEN, usage)
    answered = 0
    for number in range(len(request.calls)):
        answered += len(request.calls[number].pieces)
        chunk = _chunk(request, [_call(request, number)])
        yield _with(json_bytes(chunk), Part.TOKEN, _usage(request, answered))
    finish = _chunk(request, [{"text": ""}], _finish_reason(request))
    yield _with(json_bytes(finish), Part.FINISH, _usage(request, request.answer_tokens))


def _with(chunk: bytes, part: Part, usage: dict[str, Any]) -> Event:
    # Appended to the finished text, for encoding the whole chunk anew would cost ten times more.
    if not usage:
        return Event(chunk, part)
    return Event(b'%b,"usageMetadata":%b}' % (chunk[:-1], json_bytes(usage)), part)


def _chunk(
    request: GenerationRequest, parts: list[dict[str, Any]], finish: str | None = None
) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [{**candidate, "index": 0}],
        "modelVersion": request.model,
        "responseId": request.ident("", length=22),
    }


def _usage(request: GenerationRequest, answered: int, thought: int | None = None) -> dict[str, Any]:
    if not request.tells_usage:
        return {}
    thoughts = request.plan.reasoning if thought is None else thought
    usage: dict[str, Any] = {
        "promptTokenCount": request.prompt_tokens,
        "candidatesTokenCount": answered,
        "totalTokenCount": request.prompt_tokens + answered + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": request.prompt_tokens}],
    }
    if request.cached_tokens:
        usage["cachedContentTokenCount"] = request.cached_tokens
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    return usage


def _call(request: GenerationRequest, number: int) -> dict[str, Any]:
    call = request.calls[number]
    return {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}}


def _finish_reason(request: GenerationRequest) -> str:
    return "MAX_TOKENS" if request.capped else "STOP"


def whole(request: GenerationRequest) -> dict[str, Any]:
    """Return the answer in one piece."""
    parts: list[dict[str, Any]] = []
    if request.plan.reasoning:
        parts.append({"text": request.thought(), "thought": True})
    if not request.calls:
        parts.append({"text": request.text()})
    parts += [_call(request, number) for number in range(len(request.calls))]
    usage = _usage(request, request.answer_tokens)
    usage_field = {"usageMetadata": usage} if usage else {}
    return {**_chunk(request, parts, _finish_reason(request)), **usage_field}


def trouble(request: GenerationRequest, status: int, sent: int) -> Event:  # noqa: ARG001 - Trouble's signature
    """Return the error as an event."""
    # Google has no 529; its overload is a 503.
    known = 503 if status == 529 else status
    return Event(
        json_bytes(error_bodies.gemini(known, error_bodies.message_for(status))), Part.TROUBLE
    )


GEMINI_NATIVE = Family(
    name="gemini",
    dialect=GEMINI,
    read=read,
    events=events,
    whole=whole,
    trouble=trouble,
    eol=b"\r\n",
)
