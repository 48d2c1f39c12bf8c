"""Gemini's native generateContent and streamGenerateContent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from proxy.demo import shapes
from proxy.demo.ask import Ask, birth, needed, number_in, prompt_size
from proxy.demo.events import Event, Part
from proxy.demo.families.family import GEMINI, Family
from proxy.demo.grammar import split_model
from proxy.demo.text import FILL, json_bytes, template
from proxy.demo.tools import Tool, calls_for, tools_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.demo.plan import Plan


def read(body: Mapping[str, Any], plan: Plan) -> Ask:
    """Read the request, whose model, streaming and array form the route has put into the body.

    Raises MistakeError.
    """
    config = body.get("generationConfig")
    config = config if isinstance(config, Mapping) else {}
    seed, created = birth(plan)
    return Ask(
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
    """Count a request's prompt tokens; raises MistakeError."""
    return prompt_size(plan, needed(body, "contents"), body.get("systemInstruction"))


def _tools(body: Mapping[str, Any]) -> list[Tool]:
    listed = body.get("tools")
    found: list[Tool] = []
    for entry in listed if isinstance(listed, list) else []:
        declared = entry.get("functionDeclarations") if isinstance(entry, Mapping) else None
        found += tools_in(declared, "", "parameters")
    return found


def _forced(body: Mapping[str, Any]) -> bool:
    config = body.get("toolConfig")
    calling = config.get("functionCallingConfig") if isinstance(config, Mapping) else None
    return isinstance(calling, Mapping) and calling.get("mode") == "ANY"


def events(ask: Ask) -> Iterator[Event]:
    """Give the stream's events in order; usage so far stands in each, and there is no end mark."""
    step = ask.plan.per_event
    before, after = template(_chunk(ask, [{"text": FILL.decode(), "thought": True}]))
    for number, token in enumerate(ask.thoughts(), 1):
        usage = _usage(ask, 0, min(number * step, ask.plan.reasoning))
        yield _with(before + token + after, Part.TOKEN, usage)
    before, after = template(_chunk(ask, [{"text": FILL.decode()}]))
    for number, token in enumerate(ask.deltas(), 1):
        usage = _usage(ask, min(number * step, ask.visible))
        yield _with(before + token + after, Part.TOKEN, usage)
    answered = 0
    for number in range(len(ask.calls)):
        answered += len(ask.calls[number].pieces)
        chunk = _chunk(ask, [_call(ask, number)])
        yield _with(json_bytes(chunk), Part.TOKEN, _usage(ask, answered))
    finish = _chunk(ask, [{"text": ""}], _finish_reason(ask))
    yield _with(json_bytes(finish), Part.FINISH, _usage(ask, ask.answer_tokens))


def _with(chunk: bytes, part: Part, usage: dict[str, Any]) -> Event:
    # Appended to the finished text, for encoding the whole chunk anew would cost ten times more.
    if not usage:
        return Event(chunk, part)
    return Event(b'%b,"usageMetadata":%b}' % (chunk[:-1], json_bytes(usage)), part)


def _chunk(ask: Ask, parts: list[dict[str, Any]], finish: str | None = None) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"parts": parts, "role": "model"}}
    if finish:
        candidate["finishReason"] = finish
    return {
        "candidates": [{**candidate, "index": 0}],
        "modelVersion": ask.model,
        "responseId": ask.ident("", length=22),
    }


def _usage(ask: Ask, answered: int, thought: int | None = None) -> dict[str, Any]:
    if not ask.tells_usage:
        return {}
    thoughts = ask.plan.reasoning if thought is None else thought
    usage: dict[str, Any] = {
        "promptTokenCount": ask.prompt_tokens,
        "candidatesTokenCount": answered,
        "totalTokenCount": ask.prompt_tokens + answered + thoughts,
        "promptTokensDetails": [{"modality": "TEXT", "tokenCount": ask.prompt_tokens}],
    }
    if ask.cached_tokens:
        usage["cachedContentTokenCount"] = ask.cached_tokens
    if thoughts:
        usage["thoughtsTokenCount"] = thoughts
    return usage


def _call(ask: Ask, number: int) -> dict[str, Any]:
    call = ask.calls[number]
    return {"functionCall": {"name": call.name, "args": json.loads(call.arguments)}}


def _finish_reason(ask: Ask) -> str:
    return "MAX_TOKENS" if ask.capped else "STOP"


def whole(ask: Ask) -> dict[str, Any]:
    """Give the answer in one piece."""
    parts: list[dict[str, Any]] = []
    if ask.plan.reasoning:
        parts.append({"text": ask.thought(), "thought": True})
    if not ask.calls:
        parts.append({"text": ask.text()})
    parts += [_call(ask, number) for number in range(len(ask.calls))]
    usage = _usage(ask, ask.answer_tokens)
    told = {"usageMetadata": usage} if usage else {}
    return {**_chunk(ask, parts, _finish_reason(ask)), **told}


def trouble(ask: Ask, status: int, sent: int) -> Event:  # noqa: ARG001 - Trouble's signature
    """Give the error as an event."""
    # Google has no 529; its overload is a 503.
    known = 503 if status == 529 else status
    return Event(json_bytes(shapes.gemini(known, shapes.message_for(status))), Part.TROUBLE)


GEMINI_NATIVE = Family(
    name="gemini",
    dialect=GEMINI,
    read=read,
    events=events,
    whole=whole,
    trouble=trouble,
    eol=b"\r\n",
)
