"""The documents in events, and fields that come in pieces."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.assembly.events import documents, merged, merged_fields


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (b'data: {"a":1}\n\n', [{"a": 1}]),
        (b'data:{"a":1}\r\n\r\n', [{"a": 1}]),
        (b'\xef\xbb\xbfdata: {"a":1}\n\n', [{"a": 1}]),
        (b'event: x\nid: 3\ndata: {"a":\ndata: 1}\n\n', [{"a": 1}]),
        (b"data: [DONE]\n\n", []),
        (b": ping\n\n", []),
        (b"data: [1]\n\n", []),
        (b"data: {\n\n", []),
        (b"data: \xff\n\n", []),
        (b"data: " + b'{"a":' * 100_000 + b"\n\n", []),
        (b"", []),
    ],
)
def test_the_documents_of_events(event: bytes, expected: list[Any]) -> None:
    """Marks, comments and what cannot be read are left out, however deep it is."""
    assert list(documents([event])) == expected


@pytest.mark.parametrize(
    ("known", "delta", "whole"),
    [
        (None, "a", "a"),
        ("a", "b", "ab"),
        ("a", None, "a"),
        (1, 2, 2),
        ([1], [2], [1, 2]),
        ({"a": "x"}, {"a": "y", "b": 1}, {"a": "xy", "b": 1}),
        ([{"index": 0, "t": "a"}], [{"index": 0, "t": "b"}], [{"index": 0, "t": "ab"}]),
        (
            [{"index": 0, "t": "a"}],
            [{"index": 1, "t": "b"}],
            [{"index": 0, "t": "a"}, {"index": 1, "t": "b"}],
        ),
        ([{"t": "a"}], [{"t": "b"}], [{"t": "a"}, {"t": "b"}]),
    ],
)
def test_pieces_are_joined(known: Any, delta: Any, whole: Any) -> None:
    """Text grows, objects and lists are joined, by index where they have one."""
    assert merged(known, delta) == whole


def test_names_that_come_again_are_the_same_names() -> None:
    """Some upstreams repeat them with every piece, or empty them."""
    known: dict[str, Any] = {}
    for piece in ({"id": "c1", "arguments": "{"}, {"id": "c1", "arguments": "}"}, {"id": ""}):
        known = merged_fields(known, piece)
    assert known == {"id": "c1", "arguments": "{}"}
