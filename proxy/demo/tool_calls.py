"""Builds tool calls: of the request's own tools, with arguments that fit their schemas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from proxy.demo.answer_text import inside, json_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable

_PIECE = 5
_DEEPEST = 6


class Tool(NamedTuple):
    """A tool of the request: its name and the JSON schema of its arguments."""

    name: str
    schema: Any


class ToolCall(NamedTuple):
    """One tool call: the tool, its arguments as JSON text, and that text in pieces.

    A piece is one token, encoded for a JSON string.
    """

    name: str
    arguments: str
    pieces: tuple[bytes, ...]


_DEFAULT_TOOL = Tool(
    "get_water_level",
    {
        "type": "object",
        "properties": {
            "place": {"type": "string"},
            "metres_above_gate": {"type": "number"},
            "history": {"type": "boolean"},
        },
    },
)


def calls_for(offered: Iterable[Tool], count: int) -> tuple[ToolCall, ...]:
    """Build `count` calls, of each tool in turn."""
    tools = tuple(offered) or (_DEFAULT_TOOL,)
    return tuple(_call(tools[number % len(tools)], number) for number in range(count))


def tools_in(listed: Any, inner: str, schema: str) -> list[Tool]:
    """Parse a request's list of tools; `inner` and `schema` are the family's field names."""
    tools: list[Tool] = []
    for entry in listed if isinstance(listed, list) else []:
        tool = entry.get(inner, entry) if isinstance(entry, Mapping) else None
        if isinstance(tool, Mapping) and isinstance(tool.get("name"), str):
            tools.append(Tool(tool["name"], tool.get(schema)))
    return tools


def _call(tool: Tool, number: int) -> ToolCall:
    arguments = json_bytes(invent(tool.schema, number) or {}).decode()
    cut = range(0, len(arguments), _PIECE)
    return ToolCall(
        tool.name, arguments, tuple(inside(arguments[start : start + _PIECE]) for start in cut)
    )


def invent(schema: Any, number: int = 0, depth: int = 0) -> Any:
    """Build a value that fits a JSON schema; only `type`, `enum` and `properties` are used."""
    if not isinstance(schema, Mapping) or depth > _DEEPEST:
        return None
    if schema.get("enum"):
        return schema["enum"][0]
    kind = str(schema.get("type")).lower()
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: invent(inner, number, depth + 1) for name, inner in properties.items()}
    if kind == "array":
        return [invent(schema.get("items"), number, depth + 1)]
    simple = {"string": "Zürich 🌊", "number": 0.25 + number, "integer": 7 + number}
    return simple.get(kind, kind == "boolean" or None)
