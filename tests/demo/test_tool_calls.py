from __future__ import annotations

import json
from typing import Any

import pytest

from proxy.demo.tool_calls import Tool, calls_for, invent, tools_in


def test_pieces_are_the_arguments() -> None:
    """The pieces, joined inside a JSON string, are the arguments as text, which is JSON."""
    (call,) = calls_for([], 1)
    assert json.loads(b'"' + b"".join(call.pieces) + b'"') == call.arguments
    assert "place" in json.loads(call.arguments)


def test_tools_are_called_in_turn() -> None:
    """More calls than tools begin anew with the first."""
    offered = [Tool("a", None), Tool("b", None)]
    assert [call.name for call in calls_for(offered, 3)] == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("listed", "inner", "names"),
    [
        ([{"type": "function", "function": {"name": "a", "parameters": {}}}], "function", ["a"]),
        ([{"name": "a", "input_schema": {}}, {"type": "web_search"}], "", ["a"]),
        (None, "", []),
        (["nonsense", 7], "", []),
    ],
)
def test_tools_as_families_list_them(listed: Any, inner: str, names: list[str]) -> None:
    """Named tools are found, whatever else stands in the list."""
    assert [tool.name for tool in tools_in(listed, inner, "parameters")] == names


def test_arguments_fit_their_schema() -> None:
    """Each property gets a value of its type, enums one of theirs."""
    schema = {
        "type": "object",
        "properties": {
            "text": {"type": "string"},
            "number": {"type": "number"},
            "whole": {"type": "INTEGER"},
            "yes": {"type": "boolean"},
            "some": {"type": "array", "items": {"type": "string"}},
            "unit": {"enum": ["metre", "foot"]},
            "odd": {},
        },
    }
    made = invent(schema)
    types = {name: type(value).__name__ for name, value in made.items()}
    assert types == {
        "text": "str",
        "number": "float",
        "whole": "int",
        "yes": "bool",
        "some": "list",
        "unit": "str",
        "odd": "NoneType",
    }


def test_a_schema_without_end() -> None:
    """A schema that holds itself does not make the demo go round for ever."""
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    schema["properties"]["self"] = schema
    assert "self" in invent(schema)
