"""Assembles a response from its events (OpenAI API reference, "Responses: streaming events")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.meter.assembly.events import documents

if TYPE_CHECKING:
    from collections.abc import Iterable

_ENDS = frozenset({"response.completed", "response.incomplete", "response.cancelled"})
_TEXTS = {
    "response.output_text.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "text",
}


def whole_response(events: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the response of the final event; None without one."""
    response = None
    for event in documents(events):
        if event.get("type") in _ENDS and isinstance(event.get("response"), dict):
            response = event["response"]
    return response


def so_far(events: Iterable[bytes]) -> dict[str, Any]:
    """Return the response as far as it has been generated."""
    response: dict[str, Any] = {}
    output: dict[int, dict[str, Any]] = {}
    for event in documents(events):
        update = event.get("response")
        if isinstance(update, dict):
            # Sluice's own terminal event has fewer members than the upstream's events.
            response = {**response, **update}
        elif isinstance(event.get("item"), dict):
            output[_index(event, "output_index")] = dict(event["item"])
        else:
            _take(output, event)
    if response and not response.get("output"):
        response["output"] = [output[index] for index in sorted(output)]
    return response


def _take(output: dict[int, dict[str, Any]], event: dict[str, Any]) -> None:
    kind, item = event.get("type"), output.get(_index(event, "output_index"))
    if item is None:
        return
    if kind == "response.function_call_arguments.delta":
        item["arguments"] = (item.get("arguments") or "") + (event.get("delta") or "")
        return
    content = item.get("content")
    parts = [dict(part) for part in content] if isinstance(content, list) else []
    index = _index(event, "content_index")
    if kind == "response.content_part.added" and isinstance(event.get("part"), dict):
        item["content"] = [*parts[:index], dict(event["part"])]
    elif kind in _TEXTS and index < len(parts):
        field = _TEXTS[kind]
        parts[index][field] = (parts[index].get(field) or "") + (event.get("delta") or "")
        item["content"] = parts


def _index(event: dict[str, Any], name: str) -> int:
    index = event.get(name)
    return index if isinstance(index, int) else 0
