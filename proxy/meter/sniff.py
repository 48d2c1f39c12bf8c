"""Detects the family of an event or a body from its content."""

from __future__ import annotations

from typing import Any

import msgspec

from proxy.meter.format_reader import UNREADABLE
from proxy.record import Family

_MESSAGES = frozenset(
    {
        "message_start",
        "message_delta",
        "message_stop",
        "content_block_start",
        "content_block_delta",
        "content_block_stop",
        "message",
    }
)
_CHAT_OBJECTS = ("chat.completion.chunk", "chat.completion")
_ANYONES = ("error", "ping", "keepalive")
_OTHERS = ("message-", "content-", "transcript.")


class _Choice(msgspec.Struct):
    delta: Any = None
    message: Any = None
    text: Any = None


class _Sample(msgspec.Struct, rename="camel"):
    type: Any = None
    object: Any = None
    choices: list[_Choice] | None = None
    candidates: Any = None
    usage_metadata: Any = None
    prompt_feedback: Any = None
    value: Any = None


_decode = msgspec.json.Decoder(_Sample).decode


def family_of(document: bytes) -> Family | None:
    """Return the family of this JSON object; None if it is ambiguous."""
    try:
        sample = _decode(document)
    except UNREADABLE:
        return None
    if sample.candidates or sample.usage_metadata or sample.prompt_feedback:
        return Family.GEMINI
    if sample.choices:
        return _by_choice(sample.choices[0], sample.object)
    return _by_name(sample)


def is_foreign(document: bytes) -> bool:
    """Whether this is a JSON object that no family sends; errors and pings are common to all."""
    try:
        members = msgspec.json.decode(document, type=dict[str, Any])
    except UNREADABLE:
        return False
    plain = not members.keys() & {"choices", "error"} and members.get("type") not in _ANYONES
    return bool(members) and plain and family_of(document) in {None, Family.UNKNOWN}


def _by_choice(choice: _Choice, name: Any) -> Family:
    if choice.delta is not None or choice.message or name in _CHAT_OBJECTS:
        return Family.CHAT
    return Family.COMPLETIONS if choice.text is not None else Family.CHAT


def _by_name(sample: _Sample) -> Family | None:
    kind = sample.type if isinstance(sample.type, str) else ""
    if kind in _MESSAGES:
        return Family.MESSAGES
    if sample.object == "response" or kind.startswith("response."):
        return Family.RESPONSES
    if kind.startswith(_OTHERS) or (not kind and isinstance(sample.value, str)):
        return Family.UNKNOWN
    return None
