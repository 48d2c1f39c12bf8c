"""What an answer's own bytes say was in it, read anew here: a test must not trust what it tests."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from proxy.record import Family
from tests.integration.faults.events import events_of

Document = dict[str, Any]
_RESPONSE_DELTAS = {
    "response.output_text.delta": "text",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "tool",
}
_MESSAGE_DELTAS = {
    "text_delta": "text",
    "thinking_delta": "reasoning",
    "input_json_delta": "tool",
}


@dataclass(frozen=True)
class ExpectedTally:
    """Events with tokens by channel, and the tokens that the usage states, by type."""

    events: Counter[str] = field(default_factory=Counter)
    usage: dict[str, int] = field(default_factory=dict)
    """Empty if the answer has none; input with what was cached, output with the reasoning."""
    unreadable: int = 0
    """1 for an answer that was not streamed and is no JSON."""


def expected_tally(family: Family, body: bytes, *, streamed: bool = True) -> ExpectedTally:
    """Read an answer, or as much of one as came."""
    channels, usage = _READERS[family]
    stated: Document = {}
    events: Counter[str] = Counter()
    documents = list(_documents(body, streamed=streamed))
    for document in documents:
        events.update(set(channels(document)) if streamed else ())
        stated.update(usage(document) or {})
    totals = _TOTALS[family](stated) if stated else {}
    return ExpectedTally(events, totals, unreadable=int(not streamed and not documents))


def _documents(body: bytes, *, streamed: bool) -> Iterator[Document]:
    texts = [event.data for event in events_of(body)] if streamed else [body.decode()]
    for text in texts:
        with contextlib.suppress(ValueError):  # An end mark, or what was cut off.
            yield json.loads(text)


def _chunk_channels(chunk: Document) -> Iterator[str]:
    for choice in chunk.get("choices") or ():
        delta = choice.get("delta") or {}
        if choice.get("text") or delta.get("content"):
            yield "text"
        if delta.get("reasoning_content"):
            yield "reasoning"
        for call in delta.get("tool_calls") or ():
            if call["function"].get("name") or call["function"]["arguments"]:
                yield "tool"


def _response_channels(event: Document) -> Iterator[str]:
    if event.get("type") in _RESPONSE_DELTAS and event["delta"]:
        yield _RESPONSE_DELTAS[event["type"]]


def _message_channels(event: Document) -> Iterator[str]:
    kind = event.get("delta", {}).get("type")
    if kind in _MESSAGE_DELTAS:
        yield _MESSAGE_DELTAS[kind]


def _gemini_channels(chunk: Document) -> Iterator[str]:
    for candidate in chunk.get("candidates", ()):
        for part in candidate["content"]["parts"]:
            if part.get("functionCall"):
                yield "tool"
            elif part.get("text"):
                yield "reasoning" if part.get("thought") else "text"


def _openai(usage: Document, before: str, after: str) -> dict[str, int]:
    return {
        "input": usage[before],
        "output": usage[after],
        "cached": usage[f"{before}_details"]["cached_tokens"],
        "reasoning": usage[f"{after}_details"]["reasoning_tokens"],
    }


def _of_chunks(usage: Document) -> dict[str, int]:
    return _openai(usage, "prompt_tokens", "completion_tokens")


def _of_response(usage: Document) -> dict[str, int]:
    return _openai(usage, "input_tokens", "output_tokens")


def _of_message(usage: Document) -> dict[str, int]:
    read, written = usage["cache_read_input_tokens"], usage["cache_creation_input_tokens"]
    return {
        "input": usage["input_tokens"] + read + written,
        "output": usage["output_tokens"],
        "cached": read,
        "cache_write": written,
    }


def _of_gemini(usage: Document) -> dict[str, int]:
    thoughts = usage.get("thoughtsTokenCount", 0)
    return {
        "input": usage["promptTokenCount"],
        "output": usage["candidatesTokenCount"] + thoughts,
        "cached": usage.get("cachedContentTokenCount", 0),
        "reasoning": thoughts,
    }


def _anywhere(*inside: str) -> Callable[[Document], Document | None]:
    def usage(document: Document) -> Document | None:
        for name in inside:
            document = document.get(name) or document
        return document.get("usage")

    return usage


_CHUNKS = (_chunk_channels, _anywhere())
_READERS: dict[Family, tuple[Callable[[Document], Iterator[str]], Any]] = {
    Family.CHAT: _CHUNKS,
    Family.COMPLETIONS: _CHUNKS,
    Family.RESPONSES: (_response_channels, _anywhere("response")),
    Family.MESSAGES: (_message_channels, _anywhere("message")),
    Family.GEMINI: (_gemini_channels, lambda chunk: chunk.get("usageMetadata")),
}
_TOTALS = {
    Family.CHAT: _of_chunks,
    Family.COMPLETIONS: _of_chunks,
    Family.RESPONSES: _of_response,
    Family.MESSAGES: _of_message,
    Family.GEMINI: _of_gemini,
}
