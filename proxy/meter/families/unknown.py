"""Reads streams of unknown family, as far as their format is recognized.

Recognized are Cohere's chat v2, OpenAI's transcriptions, and the completions of Writer, Cloudflare,
TGI and llama.cpp's server. Of any other stream, only the times of its data and its errors are
noted.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec

from proxy.meter.format_reader import UNREADABLE, FormatReader
from proxy.meter.json_values import (
    count_in,
    last_object,
    last_string,
    name_of,
    openai_usage,
)
from proxy.meter.tally import REASONING, TEXT, TOOL, Usage
from proxy.record import EventKind, Family

_HEAD_ERROR = re.compile(rb'\s*\{\s*"error"\s*:\s*[{"]')
_ANYWHERE = (None, "error", "ping")
_KNOWN = ("message-", "content-", "citation-", "tool-", "transcript.")
"""Prefixes of event types whose tokens are counted; other events of these types have none."""
_CALLS = ("tool-call-start", "tool-call-delta")


class _Event(msgspec.Struct):
    id: Any = None
    type: Any = None
    delta: Any = None
    value: Any = None
    response: Any = None
    token: Any = None
    content: Any = None
    usage: Any = None
    model: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode


class Unknown(FormatReader):
    """Reads events of unknown format."""

    __slots__ = ()

    family = Family.UNKNOWN

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read one event."""
        try:
            event = _decode(data)
        except UNREADABLE:
            kind = self.mark(name, data)
            if kind is None:  # Data need not be JSON here, so that it is not malformed.
                self.tally.progressed(at)
            return kind or EventKind.DATA
        if event.error or name == b"error" or event.type == "error":
            self.tally.stated(openai_usage(event.usage) or _cohere_usage(event.usage))
        if event.error:
            return self.failed(event.error)
        if name or event.type in _ANYWHERE:
            kind = self.odd(name, data)
            if kind is not EventKind.DATA:
                return kind
        self._take(event, at)
        return EventKind.DATA

    def _take(self, event: _Event, at: float) -> None:
        channels = _channels(event)
        if channels:
            self.tally.count(channels, at)
        elif not str(event.type).startswith(_KNOWN):
            self.tally.progressed(at)
        self.tally.model = name_of(event.model) or self.tally.model
        self.tally.response_id = name_of(event.id) or self.tally.response_id
        self.tally.stated(openai_usage(event.usage))
        if event.type == "message-end" and isinstance(event.delta, dict):
            self.tally.finish_reason = name_of(event.delta.get("finish_reason"))[:64]
            self.tally.stated(_cohere_usage(event.delta.get("usage")))

    def finished(self) -> bool:
        """Return True: without a known end marker, a clean end counts as complete."""
        return True

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read an event of which only the beginning and the end are known."""
        if name == b"error" or _HEAD_ERROR.match(head):
            self.tally.stated(openai_usage(last_object(tail, "usage")))
            return self.failed(None)
        self.tally.progressed(at)
        self.tally.stated(openai_usage(last_object(tail, "usage")))
        return EventKind.DATA

    def body(self, body: bytes) -> None:
        """Read a whole response of any kind, such as embeddings."""
        whole = _decode(body)
        if whole.error:
            self.failed(whole.error)
        self.tally.model = name_of(whole.model)
        self.tally.response_id = name_of(whole.id) or None
        self.tally.stated(openai_usage(whole.usage) or _cohere_usage(whole.usage))

    def ends(self, ends: bytes) -> None:
        """Read the beginning and the end of a response, which may hold megabytes of numbers."""
        for key, read in _USAGES:
            usage = read(last_object(ends, key))
            if usage is not None:
                self.tally.stated(usage)
                break
        self.tally.model = last_string(ends, "model") or last_string(ends, "modelVersion")


def _channels(event: _Event) -> int:
    if event.type == "content-delta":
        content = _inside(event.delta, "message", "content")
        if isinstance(content, dict):
            return TEXT if content.get("text") else REASONING if content.get("thinking") else 0
    if event.type == "tool-plan-delta":
        return REASONING if _inside(event.delta, "message", "tool_plan") else 0
    if event.type in _CALLS:
        function = _inside(event.delta, "message", "tool_calls", "function")
        has_content = isinstance(function, dict) and (
            function.get("name") or function.get("arguments")
        )
        return TOOL if has_content else 0
    if event.type == "transcript.text.delta":
        return TEXT if event.delta else 0
    return _bare_channel(event) if event.type is None else 0


def _bare_channel(event: _Event) -> int:
    """Recognize Writer's `value`, Cloudflare's `response`, llama.cpp's `content`, TGI's `text`."""
    token = event.token if isinstance(event.token, dict) else {}
    text = None if token.get("special") else token.get("text")
    texts = (event.value, event.response, event.content, text)
    return TEXT if any(text_value and isinstance(text_value, str) for text_value in texts) else 0


def _inside(value: Any, *names: str) -> Any:
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _total_only(usage: Any) -> Usage | None:
    """Parse Voyage's and Jina's usage, which is a total only, as there is no output."""
    total = count_in(usage, "total_tokens") if isinstance(usage, dict) else None
    return None if total is None else Usage(input=total)


def _gemini_usage(usage: Any) -> Usage | None:
    """Parse the usage of Gemini's embeddings."""
    return None if (prompt := count_in(usage, "promptTokenCount")) is None else Usage(input=prompt)


def _billed(meta: Any) -> Usage | None:
    """Parse the usage of Cohere's embeddings and reranking."""
    return _cohere_usage(meta) or _cohere_usage({"tokens": _inside(meta, "billed_units")})


def _cohere_usage(usage: Any) -> Usage | None:
    """Parse Cohere's usage: the tokens, not the billed units."""
    tokens = _inside(usage, "tokens")
    stated = Usage(
        input=count_in(tokens, "input_tokens"),
        output=count_in(tokens, "output_tokens"),
        reasoning=count_in(tokens, "reasoning_tokens"),
        cached=count_in(usage, "cached_tokens"),
    )
    return None if stated == Usage() else stated


def _stated(usage: Any) -> Usage | None:
    return openai_usage(usage) or _cohere_usage(usage) or _total_only(usage)


_USAGES: tuple[tuple[str, Callable[[Any], Usage | None]], ...] = (
    ("usage", _stated),
    ("usageMetadata", _gemini_usage),
    ("meta", _billed),
)
"""The members in which responses state their usage, and their parsers."""
