"""Assembles chat completions and legacy completions from chunks (OpenAI API reference)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.meter.assembly.events import documents, merged_fields

if TYPE_CHECKING:
    from collections.abc import Iterable

_CHUNK = "chat.completion.chunk"
_WHOLE = "chat.completion"
_OF_CHUNKS = frozenset({"choices", "obfuscation", "p"})


def whole_chat(events: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the chat completion; None without chunks."""
    document = _gathered(events, _take_delta)
    if document is None:
        return None
    if document.get("object") == _CHUNK:
        document["object"] = _WHOLE
    for choice in document["choices"]:
        message = choice.setdefault("message", {})
        message.setdefault("role", "assistant")
        message.setdefault("content", None)
        for call in message.get("tool_calls") or ():
            if isinstance(call, dict):
                call.pop("index", None)
    return document


def whole_completion(events: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the legacy completion; None without chunks."""
    return _gathered(events, _take_text)


def _gathered(events: Iterable[bytes], take: Any) -> dict[str, Any] | None:
    document: dict[str, Any] = {}
    choices: dict[int, dict[str, Any]] = {}
    for chunk in documents(events):
        if "choices" not in chunk and "usage" not in chunk:
            continue
        document |= {
            name: value
            for name, value in chunk.items()
            if name not in _OF_CHUNKS and value is not None
        }
        for piece in chunk.get("choices") or ():
            if isinstance(piece, dict):
                index = piece.get("index") or 0
                take(choices.setdefault(index, {"index": index}), piece)
    if not document:
        return None
    document["choices"] = [choices[index] for index in sorted(choices)]
    return document


def _take_delta(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    _take_rest(choice, piece)
    delta = piece.get("delta")
    if isinstance(delta, dict):
        choice["message"] = merged_fields(choice.get("message", {}), delta)


def _take_text(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    _take_rest(choice, piece)
    choice["text"] = choice.get("text", "") + (piece.get("text") or "")


def _take_rest(choice: dict[str, Any], piece: dict[str, Any]) -> None:
    choice.setdefault("finish_reason", None)
    choice.setdefault("logprobs", None)
    if piece.get("finish_reason"):
        choice["finish_reason"] = piece["finish_reason"]
    logprobs = piece.get("logprobs")
    if isinstance(logprobs, dict):
        choice["logprobs"] = merged_fields(choice["logprobs"] or {}, logprobs)
