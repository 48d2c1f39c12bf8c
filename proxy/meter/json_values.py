"""Extracts values from untrusted JSON; values of an unexpected type are ignored."""

from __future__ import annotations

import json
import re
from typing import Any

from proxy.meter.tally import Usage

_WORD = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_INPUT_DETAILS = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS = ("completion_tokens_details", "output_tokens_details")
_MAX_COUNT = 10**12
"""Tokens of one answer. Metrics are floats: a larger count would lose precision, or raise."""


def count(value: Any) -> int | None:
    """Return a count as an int; None if it is not one, or too large."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= _MAX_COUNT else None


def count_in(holder: Any, *names: str) -> int | None:
    """Return the first of these members that is a count; None if none is."""
    if not isinstance(holder, dict):
        return None
    counts = (count(holder.get(name)) for name in names)
    return next((value for value in counts if value is not None), None)


def word_in(holder: Any, *names: str) -> str:
    """Return the first of these members that is one short word, such as an error's type.

    Free text is ignored: it may quote a prompt.
    """
    if isinstance(holder, dict):
        for name in names:
            value = holder.get(name)
            word = str(value) if type(value) in {str, int} else ""
            if _WORD.fullmatch(word):
                return word
    return ""


def error_kind(error: Any) -> str:
    """Return a short name for an error object; `error` by default."""
    return word_in(error, "type", "code", "status") or "error"


def name_of(value: Any) -> str:
    """Return a model name or id; empty if it is not a string."""
    return value if isinstance(value, str) else ""


def openai_usage(usage: Any) -> Usage | None:
    """Parse usage as OpenAI's APIs and compatible ones state it.

    xAI states reasoning in addition to the output, as its total shows. Cached tokens exceeding the
    input are in addition to it (Azure's Grok). DeepSeek, Moonshot and Perplexity have the details
    at the top level.
    """
    if not isinstance(usage, dict):
        return None
    inside = _details(usage, _INPUT_DETAILS)
    outside = _details(usage, _OUTPUT_DETAILS)
    parsed = Usage(
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
    if parsed.input is None and parsed.output is None:
        return None
    total = count_in(usage, "total_tokens")
    stated = (parsed.input or 0) + (parsed.output or 0)
    if parsed.reasoning and total == stated + parsed.reasoning:
        parsed.output_beside = parsed.reasoning
    if parsed.cached and parsed.cached > (parsed.input or 0):
        parsed.input_beside = parsed.cached
    return parsed


def _details(usage: dict[str, Any], names: tuple[str, str]) -> dict[str, Any]:
    for name in names:
        if isinstance(usage.get(name), dict):
            return {key: value for key, value in usage[name].items() if value is not None}
    return {}


def last_object(text: bytes, key: str) -> dict[str, Any] | None:
    """Return the last complete JSON object under this key in a part of a document, or None.

    A key inside a string does not match, because its quotes are escaped there.
    """
    starts = [match.end() for match in re.finditer(rb'"%b"\s*:\s*' % key.encode(), text)]
    for start in reversed(starts[-8:]):
        try:
            value, _ = json.JSONDecoder().raw_decode(text[start:].decode(errors="replace"))
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            return value
    return None


def last_string(text: bytes, key: str) -> str:
    """Return the last short string under this key in a part of a document, or an empty one."""
    values = re.findall(rb'"%b"\s*:\s*"([\w.:-]{1,64})"' % key.encode(), text)
    return values[-1].decode() if values else ""
