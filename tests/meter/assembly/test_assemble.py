"""Whole answers from recorded streams, held against what the families' own SDKs make of them."""

# ruff: noqa: PLC0415 - the SDKs take seconds to import; see tests/fixtures/sdks.py
from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import TypeAdapter

from proxy.meter.assembly.assemble import assemble
from proxy.meter.assembly.events import documents
from proxy.record import Family
from tests.integration.corpus import events_of, recordings


def of(family: str) -> list[Any]:
    """The recordings of a family."""
    return [
        pytest.param(recording, id=recording.name)
        for recording in recordings()
        if recording.family == family
    ]


@pytest.mark.parametrize("recording", of("chat"))
def test_chat_as_the_openai_sdk_has_it(recording: Any) -> None:
    """Text, tool calls and finish reasons are those that the SDK accumulates."""
    from openai.lib.streaming.chat import ChatCompletionStreamState
    from openai.types.chat import ChatCompletionChunk

    events = events_of(recording.raw)
    state: Any = ChatCompletionStreamState()
    try:
        for document in documents(events):
            if "choices" in document:
                state.handle_chunk(ChatCompletionChunk.construct(**document))
        theirs = state.current_completion_snapshot
    except Exception:  # noqa: BLE001 whatever the SDK cannot read
        pytest.skip("the SDK cannot read this provider's dialect")
    ours: Any = assemble(Family.CHAT, events)
    assert ours["object"] in {"chat.completion", "", "chat.completion.chunk"}
    assert len(ours["choices"]) == len(theirs.choices)
    for mine, other in zip(ours["choices"], theirs.choices, strict=True):
        assert (mine["message"]["content"] or "") == (other.message.content or "")
        assert mine["finish_reason"] == other.finish_reason
        calls = [
            (call["function"]["name"], call["function"]["arguments"])
            for call in mine["message"].get("tool_calls") or ()
        ]
        assert calls == [
            (call.function.name, call.function.arguments) for call in other.message.tool_calls or ()
        ]


@pytest.mark.parametrize("recording", of("messages"))
def test_messages_as_the_anthropic_sdk_has_them(recording: Any) -> None:
    """Every block, its text, thinking, signature and input, and the usage."""
    from anthropic.lib.streaming._messages import accumulate_event
    from anthropic.types import RawMessageStreamEvent

    events = events_of(recording.raw)
    adapter: Any = TypeAdapter(RawMessageStreamEvent)
    snapshot: Any = None
    buffers: dict[int, bytes] = {}
    for document in documents(events):
        if document.get("type") in {"ping", "error"}:
            continue
        snapshot = accumulate_event(
            event=adapter.validate_python(document), current_snapshot=snapshot, json_bufs=buffers
        )
    ours: Any = assemble(Family.MESSAGES, events)
    theirs = json.loads(snapshot.to_json())
    assert ours["stop_reason"] == theirs["stop_reason"]
    assert ours["usage"]["output_tokens"] == theirs["usage"]["output_tokens"]
    assert len(ours["content"]) == len(theirs["content"])
    for mine, other in zip(ours["content"], theirs["content"], strict=True):
        for field in ("type", "text", "thinking", "signature", "input", "name", "id"):
            assert mine.get(field) == other.get(field)


@pytest.mark.parametrize("recording", of("responses"))
def test_responses_are_what_their_last_event_has(recording: Any) -> None:
    """The event at the end has the whole object."""
    events = events_of(recording.raw)
    last = [
        document for document in documents(events) if isinstance(document.get("response"), dict)
    ][-1]
    ours: Any = assemble(Family.RESPONSES, events)
    if ours is not None:
        assert ours == last["response"]


@pytest.mark.parametrize("recording", of("gemini"))
def test_gemini_has_all_text_and_the_last_of_everything_else(recording: Any) -> None:
    """Text is joined, thoughts apart; usage and finish reason are the last that came."""
    events = events_of(recording.raw)
    chunks = list(documents(events))
    ours: Any = assemble(Family.GEMINI, events)

    def text(documents: list[dict[str, Any]], *, thought: bool) -> str:
        return "".join(
            part["text"]
            for document in documents
            for candidate in document.get("candidates", ())
            for part in candidate.get("content", {}).get("parts", ())
            if "text" in part and bool(part.get("thought")) is thought
        )

    for thought in (False, True):
        assert text([ours], thought=thought) == text(chunks, thought=thought)
    usage = [chunk["usageMetadata"] for chunk in chunks if "usageMetadata" in chunk]
    assert ours.get("usageMetadata") == (usage[-1] if usage else None)


@pytest.mark.parametrize("family", list(Family))
def test_nothing_is_made_of_nothing(family: Family) -> None:
    """A stream without a document of its family has no whole answer."""
    assert assemble(family, [b": ping\n\n", b"data: [DONE]\n\n", b"data: {\n\n"]) is None
