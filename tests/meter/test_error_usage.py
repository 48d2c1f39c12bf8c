"""What was used before a failure is billed: it counts, even in the same event as the error."""

from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.meter.stream_reader import reader_for
from proxy.record import EventKind, Family

OPENAI = {"prompt_tokens": 7, "completion_tokens": 5}
ANTHROPIC = {"input_tokens": 7, "output_tokens": 5}
GEMINI = {"promptTokenCount": 7, "candidatesTokenCount": 5}
ERROR = {"code": 502, "message": "Token limit reached"}
EVENTS: dict[str, tuple[Family, bytes, dict[str, Any]]] = {
    "chat": (Family.CHAT, b"", {"error": ERROR, "usage": OPENAI}),
    "chat, choices beside it": (
        Family.CHAT,
        b"",
        {
            "id": "gen-1",
            "error": ERROR,
            "choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": "error"}],
            "usage": OPENAI,
        },
    ),
    "chat, in the choice": (
        Family.CHAT,
        b"",
        {"error": ERROR, "choices": [{"index": 0, "delta": {}, "usage": OPENAI}]},
    ),
    "chat, no error object": (
        Family.CHAT,
        b"",
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "error"}], "usage": OPENAI},
    ),
    "completions": (Family.COMPLETIONS, b"", {"error": ERROR, "usage": OPENAI}),
    "responses": (
        Family.RESPONSES,
        b"error",
        {"type": "error", "code": "x", "message": "no", "usage": ANTHROPIC},
    ),
    "responses, failed": (
        Family.RESPONSES,
        b"response.failed",
        {"type": "response.failed", "response": {"error": ERROR, "usage": ANTHROPIC}},
    ),
    "messages": (Family.MESSAGES, b"error", {"type": "error", "error": ERROR, "usage": ANTHROPIC}),
    "gemini": (Family.GEMINI, b"", {"error": ERROR, "usageMetadata": GEMINI}),
    "unknown": (Family.UNKNOWN, b"error", {"error": ERROR, "usage": OPENAI}),
}


@pytest.mark.parametrize("which", EVENTS)
@pytest.mark.parametrize("size", [0, 100_000])
def test_usage_beside_an_error(which: str, size: int) -> None:
    """Read whole, or by the two ends of an event too long to hold."""
    family, name, event = EVENTS[which]
    if size and which in {"chat, choices beside it", "chat, in the choice"}:
        pytest.skip("the head of so long an event shows no error")
    reader = reader_for(family)
    if size:
        padded = {"error": {**ERROR, "text": "x" * size}, **event} if "error" in event else event
        data = json.dumps(padded | {key: event[key] for key in event if key != "error"}).encode()
        reader.oversized(name, data[:4096], data[-16384:], 1.0)
    else:
        assert reader.event(name, json.dumps(event).encode(), 1.0) is EventKind.ERROR
    usage = reader.tally.usage
    assert usage is not None
    assert (usage.input, usage.output) == (7, 5)
