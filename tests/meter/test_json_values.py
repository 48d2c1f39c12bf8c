from __future__ import annotations

from typing import Any

import pytest

from proxy.meter.json_values import (
    count,
    count_in,
    error_kind,
    last_object,
    last_string,
    name_of,
    openai_usage,
    word_in,
)
from proxy.meter.tally import Usage


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 0),
        (7, 7),
        (7.0, 7),
        (7.5, None),
        (-1, None),
        (True, None),
        ("7", None),
        (None, None),
        (10**400, None),
        (1e300, None),
        (float("inf"), None),
    ],
)
def test_a_count_is_a_whole_number_from_0(value: Any, expected: int | None) -> None:
    """Anything else is absent, never 0."""
    assert count(value) == expected


def test_the_first_name_with_a_count_is_taken() -> None:
    """And nothing is taken from what is no object."""
    assert count_in({"a": None, "b": 3}, "a", "b") == 3
    assert count_in({"a": "x"}, "a", "b") is None
    assert count_in([1], "a") is None


def test_only_short_plain_words_are_taken_from_errors() -> None:
    """A sentence may quote a prompt."""
    assert word_in({"type": "rate_limit_error"}, "type") == "rate_limit_error"
    assert word_in({"type": "no such model: my secret"}, "type") == ""
    assert error_kind({"type": None, "code": 429}) == "429"
    assert error_kind("my secret") == "error"
    assert error_kind({"message": "my secret"}) == "error"
    assert name_of(None) == ""


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2}, Usage(1, 2)),
        ({"input_tokens": 1, "output_tokens": 2}, Usage(1, 2)),
        ({"prompt_tokens": 9, "total_tokens": 9}, Usage(9)),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 1},
                "completion_tokens_details": {"reasoning_tokens": 3},
            },
            Usage(9, 5, 3, 4, 1),
        ),
        (
            {
                "prompt_tokens": 9,
                "completion_tokens": 5,
                "prompt_cache_hit_tokens": 4,
                "prompt_tokens_details": None,
            },
            Usage(9, 5, cached=4),
        ),
        ({"prompt_tokens": 9, "completion_tokens": 5, "cached_tokens": 4}, Usage(9, 5, cached=4)),
        ({"prompt_tokens": 9, "completion_tokens": 5, "reasoning_tokens": 4}, Usage(9, 5, 4)),
        (
            {
                "prompt_tokens": 291,
                "completion_tokens": 26,
                "total_tokens": 513,
                "completion_tokens_details": {"reasoning_tokens": 196},
            },
            Usage(291, 26, 196, output_beside=196),
        ),
        (
            {
                "prompt_tokens": 7,
                "completion_tokens": 8,
                "prompt_tokens_details": {"cached_tokens": 161},
            },
            Usage(7, 8, cached=161, input_beside=161),
        ),
        ({"prompt_tokens": None, "completion_tokens": None}, None),
        ({}, None),
        ([], None),
        (None, None),
    ],
    ids=[
        "chat",
        "responses",
        "embeddings",
        "details",
        "deepseek",
        "moonshot",
        "perplexity",
        "xai",
        "azure grok",
        "nulls",
        "empty",
        "list",
        "none",
    ],
)
def test_usage_in_openai_words(usage: Any, expected: Usage | None) -> None:
    """As the provider says it, with what it leaves beside told from its own totals."""
    assert openai_usage(usage) == expected


def test_the_last_whole_object_under_a_key_is_found_in_a_tail() -> None:
    """Not one in a string, not a null, not one that is cut off in front."""
    tail = rb'ge":{"a":0},"text":"\"usage\":{\"a\":9}","usage": {"a": {"b": 1}},"usage":null}}'
    assert last_object(tail, "usage") == {"a": {"b": 1}}
    assert last_object(b'"usage":{"a":1', "usage") is None
    assert last_object(b'"usage":[1]', "usage") is None
    assert last_object(b"", "usage") is None


def test_an_object_nested_without_end_is_none() -> None:
    """A tail of nothing but open brackets costs no more than its figures."""
    assert last_object(b'"usage": ' + b"[" * 16_000, "usage") is None
    assert last_object(b'"usage": ' + b'{"a":' * 3_000, "usage") is None


def test_the_last_short_string_under_a_key_is_found_in_a_tail() -> None:
    """Not one inside another string."""
    tail = rb'{"finish_reason":"length","t":"\"finish_reason\":\"no\"","finish_reason": "stop"}'
    assert last_string(tail, "finish_reason") == "stop"
    assert last_string(b'"finish_reason":null', "finish_reason") == ""
