"""Anthropic messages.

Source: Anthropic API reference, "Streaming messages". Usage is cumulative there: the input stands
in `message_start`, the output in `message_delta`, and either may repeat the other's.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.meter.format_reader import UNREADABLE, FormatReader
from proxy.meter.json_values import count_in, last_object, last_string, name_of
from proxy.meter.tokens import OTHER, REASONING, TEXT, TOOL, Usage
from proxy.record import EventKind, Family

_DATA = EventKind.DATA
_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_]+)"')
_DELTAS = {
    b"text_delta": TEXT,
    b"thinking_delta": REASONING,
    b"input_json_delta": TOOL,
    b"compaction_delta": OTHER,
}


class _Delta(msgspec.Struct):
    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    content: Any = None
    """Of a compaction: the conversation so far, told anew by the model."""
    stop_reason: Any = None


class _Message(msgspec.Struct):
    id: Any = None
    model: Any = None
    usage: Any = None
    stop_reason: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    delta: _Delta | None = None
    message: Any = None
    usage: Any = None
    error: Any = None
    invocation: Any = msgspec.field(default=None, name="amazon-bedrock-invocationMetrics")


class _Body(_Message):
    type: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_body = msgspec.json.Decoder(_Body).decode


class Messages(FormatReader):
    """Reads the events of a message."""

    __slots__ = ()

    family = Family.MESSAGES
    done_mark_ends = False

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Take in one event."""
        self.plain = 0
        try:
            event = _decode(data)
        except UNREADABLE:
            return self.unreadable(name, data)
        kind = event.type or name.decode("ascii", "replace")
        if kind == "content_block_delta":
            if event.delta is not None:
                self._take_delta(event.delta, at)
            return _DATA
        if kind == "ping":
            return EventKind.PING
        if kind == "error" or event.error:
            self._grow(_usage(event.usage))
            return self.failed(event.error)
        if kind == "message_start":
            self._take_message(event.message)
        elif kind == "message_delta":
            self._take_end(event)
        elif kind == "message_stop":
            self._grow(_bedrock_usage(event.invocation))
            return EventKind.END
        return EventKind.DATA

    def _take_delta(self, delta: _Delta, at: float) -> None:
        if delta.text:
            self.plain = TEXT
        elif delta.thinking:
            self.plain = REASONING
        elif delta.partial_json:
            self.plain = TOOL
        if self.plain or delta.content:
            self.tally.saw(self.plain or OTHER, at)

    def _take_message(self, message: Any) -> None:
        if isinstance(message, dict):
            self.tally.model = name_of(message.get("model"))
            self.tally.response_id = name_of(message.get("id")) or None
            self._grow(_usage(message.get("usage")))

    def _take_end(self, event: _Event) -> None:
        if event.delta is not None and event.delta.stop_reason:
            self.tally.finish_reason = str(event.delta.stop_reason)[:64]
            self.tally.finishing = True
        self._grow(_usage(event.usage))

    def _grow(self, usage: Usage | None) -> None:
        if usage is None:
            return
        if self.tally.usage is None:
            self.tally.usage = usage
        else:
            self.tally.usage.raise_to(usage)

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Take in an event of which only the two ends are known."""
        kinds = _TYPE.findall(head)
        kind = name or (kinds[0] if kinds else b"")
        if kind == b"error":
            self._grow(_usage(last_object(tail, "usage")))
            return self.failed(None)
        if kind == b"content_block_delta":
            channels = next((_DELTAS[each] for each in kinds if each in _DELTAS), 0)
            if channels:
                self.tally.saw(channels, at)
        elif kind in {b"message_start", b"message_delta"}:
            self._grow(_usage(last_object(tail, "usage")))
            reason = last_string(head, "stop_reason")
            if reason:
                self.tally.finish_reason = reason
                self.tally.finishing = True
        elif kind == b"message_stop":
            return EventKind.END
        return EventKind.DATA

    def body(self, body: bytes) -> None:
        """Take in a whole message."""
        whole = _decode_body(body)
        if whole.type == "error" or whole.error:
            self.failed(whole.error)
        self.tally.model = name_of(whole.model)
        self.tally.response_id = name_of(whole.id) or None
        self.tally.finish_reason = name_of(whole.stop_reason)[:64]
        self.tally.finishing = bool(whole.stop_reason)
        self._grow(_usage(whole.usage))


def _usage(usage: Any) -> Usage | None:
    """Usage in Anthropic's words; its input leaves the cache out."""
    details = usage.get("output_tokens_details") if isinstance(usage, dict) else None
    found = Usage(
        input=count_in(usage, "input_tokens"),
        output=count_in(usage, "output_tokens"),
        reasoning=count_in(details, "thinking_tokens", "reasoning_tokens"),
        cached=count_in(usage, "cache_read_input_tokens"),
        cache_write=count_in(usage, "cache_creation_input_tokens"),
    )
    if found.cached is not None or found.cache_write is not None:
        found.input_beside = (found.cached or 0) + (found.cache_write or 0)
    return None if found == Usage() else found


def _bedrock_usage(metrics: Any) -> Usage | None:
    """What Bedrock adds to `message_stop`."""
    found = Usage(
        input=count_in(metrics, "inputTokenCount"),
        output=count_in(metrics, "outputTokenCount"),
        cached=count_in(metrics, "cacheReadInputTokenCount"),
        cache_write=count_in(metrics, "cacheWriteInputTokenCount"),
    )
    if found.cached is not None or found.cache_write is not None:
        found.input_beside = (found.cached or 0) + (found.cache_write or 0)
    return None if found == Usage() else found
