from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.meter.sniff import family_of, is_foreign
from proxy.record import Family


@pytest.mark.parametrize(
    ("document", "family"),
    [
        ({"object": "chat.completion.chunk", "choices": [{"delta": {}}]}, Family.CHAT),
        ({"choices": [{"delta": {"content": "x"}, "text": "x"}]}, Family.CHAT),
        ({"object": "chat.completion", "choices": [{"message": {"content": "x"}}]}, Family.CHAT),
        ({"object": "chat.completion.chunk", "choices": [{"finish_reason": "stop"}]}, Family.CHAT),
        ({"object": "text_completion", "choices": [{"text": ""}]}, Family.COMPLETIONS),
        ({"type": "message_start", "message": {}}, Family.MESSAGES),
        ({"type": "message", "content": []}, Family.MESSAGES),
        ({"type": "response.created", "response": {}}, Family.RESPONSES),
        ({"object": "response", "output": []}, Family.RESPONSES),
        ({"candidates": [{"content": {}}]}, Family.GEMINI),
        ({"usageMetadata": {"promptTokenCount": 1}}, Family.GEMINI),
        ({"promptFeedback": {"blockReason": "SAFETY"}}, Family.GEMINI),
        ({"type": "message-start", "delta": {}}, Family.UNKNOWN),
        ({"type": "transcript.text.delta", "delta": "x"}, Family.UNKNOWN),
        ({"value": "x"}, Family.UNKNOWN),
        ({"choices": [], "prompt_filter_results": []}, None),
        ({"choices": None}, None),
        ({"type": "error", "error": {}}, None),
        ({"type": "ping"}, None),
        ({"type": 7}, None),
        ({}, None),
    ],
)
def test_a_document_shows_its_family(document: Any, family: Family | None) -> None:
    """By its members alone; what any family could send shows none."""
    assert family_of(json.dumps(document).encode()) is family


@pytest.mark.parametrize("document", [b"", b"[DONE]", b"null", b"{", b'{"choices": 7}', b"\xff"])
def test_what_is_no_object_shows_no_family(document: bytes) -> None:
    """And raises nothing."""
    assert family_of(document) is None
    assert not is_foreign(document)


@pytest.mark.parametrize(
    ("document", "foreign"),
    [
        ({"step": 1}, True),
        ({"value": "x"}, True),
        ({"type": "progress"}, True),
        ({"choices": []}, False),
        ({"error": "x"}, False),
        ({"type": "ping"}, False),
        ({"type": "message_start"}, False),
        ({}, False),
    ],
)
def test_only_a_shape_of_no_family_is_foreign(document: Any, foreign: bool) -> None:
    """A ping, an error or a prompt filter may stand in any family's stream."""
    assert is_foreign(json.dumps(document).encode()) is foreign
