"""Assembles a message from its events (Anthropic API reference, "Streaming messages")."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from proxy.meter.assembly.events import documents

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEXTS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "signature_delta": "signature",
    "compaction_delta": "content",
}


def whole_message(events: Iterable[bytes]) -> dict[str, Any] | None:
    """The message; None if it never began."""
    message: dict[str, Any] | None = None
    blocks: dict[int, dict[str, Any]] = {}
    inputs: dict[int, str] = {}
    for event in documents(events):
        kind = event.get("type")
        if kind == "message_start" and isinstance(event.get("message"), dict):
            message = dict(event["message"])
        elif message is None:
            continue
        elif kind == "content_block_start" and isinstance(event.get("content_block"), dict):
            blocks[event.get("index", 0)] = dict(event["content_block"])
        elif kind == "content_block_delta" and isinstance(event.get("delta"), dict):
            index = event.get("index", 0)
            _take(blocks.setdefault(index, {}), event["delta"], inputs, index)
        elif kind == "message_delta":
            _take_end(message, event)
    if message is None:
        return None
    for index, text in inputs.items():
        blocks[index]["input"] = _parsed(text)
    message["content"] = [blocks[index] for index in sorted(blocks)]
    return message


def _take(block: dict[str, Any], delta: dict[str, Any], inputs: dict[int, str], index: int) -> None:
    kind = delta.get("type")
    if kind == "input_json_delta":
        inputs[index] = inputs.get(index, "") + (delta.get("partial_json") or "")
    elif kind == "citations_delta":
        block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
    elif kind in _TEXTS:
        field = _TEXTS[kind]
        block[field] = (block.get(field) or "") + (delta.get(field) or "")


def _take_end(message: dict[str, Any], event: dict[str, Any]) -> None:
    delta, usage = event.get("delta"), event.get("usage")
    if isinstance(delta, dict):
        message.update(delta)
    if isinstance(usage, dict):
        stated = {name: value for name, value in usage.items() if value is not None}
        message["usage"] = {**(message.get("usage") or {}), **stated}


def _parsed(text: str) -> Any:
    try:
        return json.loads(text) if text else {}
    except ValueError:
        return text
