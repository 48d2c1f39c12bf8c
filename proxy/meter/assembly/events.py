"""Parses the JSON documents of a stream's events, and merges partial ones."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOM = b"\xef\xbb\xbf"


def documents(events: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield each event's data that is a JSON object; markers and malformed data are skipped."""
    for event in events:
        lines = event.removeprefix(_BOM).splitlines()
        data = [line[5:].removeprefix(b" ") for line in lines if line.startswith(b"data:")]
        try:
            document = json.loads(b"\n".join(data)) if data else None
        except (ValueError, RecursionError):
            continue
        if isinstance(document, dict):
            yield document


def merged(known: Any, delta: Any) -> Any:
    """Merge a delta into a value: strings are concatenated, lists and objects merged.

    List elements with an `index` are merged into the element of that index.
    """
    if known is None:
        return delta
    if isinstance(known, str) and isinstance(delta, str):
        return known + delta
    if isinstance(known, dict) and isinstance(delta, dict):
        return merged_fields(dict(known), delta)
    if isinstance(known, list) and isinstance(delta, list):
        return _merged_list(list(known), delta)
    return known if delta is None else delta


_NOT_PIECES = frozenset({"id", "type", "role", "index", "name", "object", "signature", "format"})
"""Members that are never partial; a repeated value replaces the earlier one."""


def merged_fields(known: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """Merge every field of an object."""
    for name, value in delta.items():
        if name in _NOT_PIECES and known.get(name):
            if value is not None and value != "":
                known[name] = value
        else:
            known[name] = merged(known.get(name), value)
    return known


def _merged_list(known: list[Any], delta: list[Any]) -> list[Any]:
    for piece in delta:
        index = piece.get("index") if isinstance(piece, dict) else None
        position = next(
            (
                position
                for position, element in enumerate(known)
                if index is not None and isinstance(element, dict) and element.get("index") == index
            ),
            None,
        )
        if position is None:
            known.append(piece)
        else:
            known[position] = merged(known[position], piece)
    return known
