"""Values out of foreign JSON: taken where they are what they should be, else left out."""

from __future__ import annotations

import json
import re
from typing import Any

from proxy.meter.tokens import Usage

_WORD = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_MOST = 10**12
"""Tokens of one answer. Metrics are floats: a larger count would drown all others, or raise."""


def count(value: Any) -> int | None:
    """A count as a whole number; None if it is none, or so large that sums would lose it."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MOST else None


def count_in(holder: Any, *names: str) -> int | None:
    """The first of these members that is a count, as a whole number; None if none is."""
    if not isinstance(holder, dict):
        return None
    counts = (count(holder.get(name)) for name in names)
    return next((found for found in counts if found is not None), None)


def word_in(holder: Any, *names: str) -> str:
    """The first of these members that is one short plain word, such as an error's type.

    Free text is never taken: it may quote a prompt.
    """
    if isinstance(holder, dict):
        for name in names:
            value = holder.get(name)
            word = str(value) if type(value) in {str, int} else ""
            if _WORD.fullmatch(word):
                return word
    return ""


def error_kind(error: Any) -> str:
    """A bounded name for an error object; `error` where it has none."""
    return word_in(error, "type", "code", "status") or "error"


def name_of(value: Any) -> str:
    """A model name or id as text; empty if it is none."""
    return value if isinstance(value, str) else ""


def openai_usage(usage: Any) -> Usage | None:
    """Usage in the words of the OpenAI APIs, old and new, and of those that speak like them.

    xAI counts reasoning beside the output, which its own total shows. A cache larger than the
    input cannot lie within it (Azure's Grok). Details stand at the top level with DeepSeek,
    Moonshot and Perplexity.
    """
    if not isinstance(usage, dict):
        return None
    inside = _details(usage, _INPUT_DETAILS)
    outside = _details(usage, _OUTPUT_DETAILS)
    found = Usage(
        input=count_in(usage, "prompt_tokens", "input_tokens"),
        output=count_in(usage, "completion_tokens", "output_tokens"),
        reasoning=count_in({**usage, **outside}, "reasoning_tokens"),
        cached=count_in(
            {**usage, **inside},
            "cached_tokens",
            "prompt_cache_hit_tokens",
            "cache_read_input_tokens",
        ),
        cache_write=count_in(
            {**usage, **inside}, "cache_write_tokens", "cache_creation_input_tokens"
        ),
    )
    if found.input is None and found.output is None:
        return None
    total = count_in(usage, "total_tokens")
    stated = (found.input or 0) + (found.output or 0)
    if found.reasoning and total == stated + found.reasoning:
        found.output_beside = found.reasoning
    if found.cached and found.cached > (found.input or 0):
        found.input_beside = found.cached
    return found


def _details(usage: dict[str, Any], names: tuple[str, str]) -> dict[str, Any]:
    for name in names:
        if isinstance(usage.get(name), dict):
            return {key: value for key, value in usage[name].items() if value is not None}
    return {}


def last_object(text: bytes, key: str) -> dict[str, Any] | None:
    """The last whole JSON object under this key in a part of a document; None if there is none.

    A key inside a string cannot be mistaken for it: there its quotes are escaped.
    """
    begins = [match.end() for match in re.finditer(rb'"%b"\s*:\s*' % key.encode(), text)]
    for begin in reversed(begins[-8:]):
        try:
            value, _ = json.JSONDecoder().raw_decode(text[begin:].decode(errors="replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def last_string(text: bytes, key: str) -> str:
    """The last short string under this key in a part of a document; empty if there is none."""
    found = re.findall(rb'"%b"\s*:\s*"([\w.:-]{1,64})"' % key.encode(), text)
    return found[-1].decode() if found else ""
