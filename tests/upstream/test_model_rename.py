"""A model's name is replaced where it is the model's name, and nowhere else."""

from __future__ import annotations

import json

import pytest

from proxy.upstream.body_edit import edited
from proxy.upstream.model_rename import rename_edits, rename_path


def renamed(body: bytes, model: str) -> bytes:
    """The body with another name."""
    return b"".join(edited(body, rename_edits(body, None, model)))


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (b'{"model":"a"}', b'{"model":"b"}'),
        (b'{"x": {"model": "a"}, "model" : "a" }', b'{"x": {"model": "a"}, "model" : "b" }'),
        (b'{"m":"\\"model\\":\\"a\\"","model":"a"}', b'{"m":"\\"model\\":\\"a\\"","model":"b"}'),
        (b'{"\\u006dodel":"a"}', b'{"\\u006dodel":"b"}'),
        (b'{"model":"a","model":"c"}', b'{"model":"b","model":"b"}'),
        (b'{"n":1.50e3,"model":0}', b'{"n":1.50e3,"model":"b"}'),
        (b'{"s":"\\ud83d","model":0}', b'{"s":"\\ud83d","model":"b"}'),
        (b'{"s":NaN,"model":0}', b'{"s":NaN,"model":0}'),
        (b'{"x":{"model":"a"}}', b'{"x":{"model":"a"}}'),
        (b'["model","a"]', b'["model","a"]'),
        (b'{"model":"a"', b'{"model":"a"'),
        (b"--boundary", b"--boundary"),
        (b"", b""),
    ],
)  # fmt: skip
def test_only_the_top_level_model_is_replaced(body: bytes, expected: bytes) -> None:
    """Text that looks like it, nested members and what is no JSON object stay untouched."""
    assert renamed(body, "b") == expected


def test_a_name_is_written_as_json() -> None:
    """Quotes in the new name cannot break out of it."""
    assert json.loads(renamed(b'{"model":"a"}', 'b","x":"')) == {"model": 'b","x":"'}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1beta/models/a:generate?alt=sse", "/v1beta/models/b%2Fc:generate?alt=sse"),
        ("/v1beta/models/a", "/v1beta/models/b%2Fc"),
        ("/v1/models/a/permissions", "/v1/models/b%2Fc/permissions"),
        ("/v1beta/models/other:generateContent", "/v1beta/models/other:generateContent"),
        ("/v1/chat/completions?model=a", "/v1/chat/completions?model=a"),
        ("/v1/models", "/v1/models"),
    ],
)  # fmt: skip
def test_a_model_in_the_path_is_replaced(path: str, expected: str) -> None:
    """Gemini names the model in the path, with the verb behind a colon."""
    assert rename_path(path, "a", "b/c") == expected


def test_a_model_with_a_colon_is_found() -> None:
    """A colon may be part of the name."""
    assert rename_path("/v1/models/ft:a:org", "ft:a:org", "b") == "/v1/models/b"
    assert rename_path("/v1/models/ft%3Aa:verb", "ft:a", "b") == "/v1/models/b:verb"
