"""The documents that a stream's events carry."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BOM = b"\xef\xbb\xbf"


def documents(events: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Each event's data, where it is a JSON object; marks and what cannot be read are left out."""
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
    """What a field is after another piece of it came: text grows, lists and objects are joined.

    Elements of lists with an `index` are pieces of the element of that index.
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
"""Whole wherever they come; a name that comes again is the same name."""


def merged_fields(known: dict[str, Any], delta: dict[str, Any]) -> dict[str, Any]:
    """`merged` for every field of an object."""
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
        place = next(
            (
                at
                for at, one in enumerate(known)
                if index is not None and isinstance(one, dict) and one.get("index") == index
            ),
            None,
        )
        if place is None:
            known.append(piece)
        else:
            known[place] = merged(known[place], piece)
    return known
