"""Assembles generated content from chunks (Gemini API reference, "GenerateContentResponse")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from proxy.meter.assembly.events import documents

if TYPE_CHECKING:
    from collections.abc import Iterable


def whole_content(events: Iterable[bytes]) -> dict[str, Any] | None:
    """Return the whole response; None without chunks."""
    document: dict[str, Any] = {}
    candidates: dict[int, dict[str, Any]] = {}
    for chunk in documents(events):
        document |= _without(chunk, "candidates", "error")
        for piece in chunk.get("candidates") or ():
            if isinstance(piece, dict):
                _take(candidates.setdefault(piece.get("index") or 0, {}), piece)
    if not document and not candidates:
        return None
    if candidates:
        document["candidates"] = [candidates[index] for index in sorted(candidates)]
    return document


def _take(candidate: dict[str, Any], piece: dict[str, Any]) -> None:
    candidate |= _without(piece, "content")
    content = piece.get("content")
    if not isinstance(content, dict):
        return
    known: dict[str, Any] = candidate.setdefault("content", {"parts": []})
    known |= _without(content, "parts")
    for part in content.get("parts") or ():
        last = known["parts"][-1] if known["parts"] else None
        if _continues(last, part):
            assert last is not None
            last["text"] += part["text"]
            last.update(_without(part, "text"))
        else:
            known["parts"].append(dict(part) if isinstance(part, dict) else part)


def _without(fields: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if name not in names}


def _continues(last: Any, part: Any) -> bool:
    """Whether a part is more text of the same kind: the answer's, or a thought's."""
    if not isinstance(last, dict) or not isinstance(part, dict):
        return False
    texts = isinstance(last.get("text"), str) and isinstance(part.get("text"), str)
    return texts and bool(last.get("thought")) == bool(part.get("thought"))
