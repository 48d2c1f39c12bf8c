"""Reads OpenAI chat completions, and the variants of compatible upstreams.

Source: OpenAI API reference, "Chat completions: streaming", and recorded streams.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.meter.format_reader import UNREADABLE, Choices, FormatReader
from proxy.meter.json_values import last_object, last_string, name_of, openai_usage
from proxy.meter.tally import OTHER, REASONING, TEXT, TOOL
from proxy.record import EventKind, Family

if TYPE_CHECKING:
    from proxy.meter.tally import Tally

_HEADS = (
    (TEXT, re.compile(rb'"(?:content|refusal|text)"\s*:\s*"[^"]')),
    (REASONING, re.compile(rb'"(?:reasoning(?:_content|_text)?|thinking)"\s*:\s*"[^"]')),
    (TOOL, re.compile(rb'"(?:tool_calls|function_call)"\s*:\s*(?:\[\s*)?\{')),
    (OTHER, re.compile(rb'"(?:audio|images)"\s*:\s*(?:\[\s*)?\{')),
)
_HEAD_ERROR = re.compile(rb'\s*\{\s*"error"\s*:\s*[{"]')
_SINGLE = (TEXT, REASONING, TOOL)
_DATA = EventKind.DATA


class _Delta(msgspec.Struct):
    """Fields are `Any`: an unexpected type in one must not fail the whole event."""

    content: Any = None
    reasoning_content: Any = None
    reasoning: Any = None
    reasoning_text: Any = None
    thinking: Any = None
    reasoning_details: Any = None
    tool_calls: Any = None
    function_call: Any = None
    refusal: Any = None
    audio: Any = None
    images: Any = None


class _Choice(msgspec.Struct):
    index: int | None = 0
    delta: _Delta | None = None
    text: Any = None
    """Legacy completions have this instead of a delta."""
    finish_reason: Any = None
    usage: Any = None
    """Moonshot's place for usage."""


class _Chunk(msgspec.Struct):
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None
    x_groq: Any = None


class _Opening(_Chunk):
    id: Any = None
    model: Any = None


class _Body(msgspec.Struct):
    id: Any = None
    model: Any = None
    choices: list[_Choice] | None = None
    usage: Any = None
    error: Any = None


_decode_opening = msgspec.json.Decoder(_Opening).decode
_decode_chunk = msgspec.json.Decoder(_Chunk).decode
_decode_body = msgspec.json.Decoder(_Body).decode


class Chat(FormatReader):
    """Reads chat completion chunks."""

    __slots__ = ("_choices", "_last_index", "_opened")

    family = Family.CHAT

    def __init__(self, tally: Tally, choices: int = 1) -> None:
        super().__init__(tally, choices)
        self._opened = False
        self._choices = Choices(choices)
        self._last_index: int | None = -1

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read one chunk."""
        self.plain = 0
        try:
            chunk = _decode_chunk(data) if self._opened else self._open_with(data)
        except UNREADABLE:
            return self.unreadable(name, data)
        choices = chunk.choices
        if chunk.error or not choices:
            return self._without_choices(name, chunk, data)
        channels = _channels(choices[0])
        if len(choices) == 1 and channels in _SINGLE:
            self.plain = channels
        for choice in choices:
            if choice.finish_reason or choice.index != self._last_index:
                self._note(choice)
            if choice is not choices[0]:
                channels |= _channels(choice)
        if channels:
            self.tally.count(channels, at)
        if chunk.usage or chunk.x_groq:
            self._take_usage(chunk)
        return self.failed(None) if self.tally.finish_reason == "error" else _DATA

    def _open_with(self, data: bytes) -> _Chunk:
        """Also read the model and the id, until they are known."""
        chunk = _decode_opening(data)
        self.tally.model = name_of(chunk.model)
        self.tally.response_id = name_of(chunk.id) or None
        self._opened = bool(self.tally.model)
        return chunk

    def _note(self, choice: _Choice) -> None:
        """Track which choices have begun and ended."""
        self._last_index = choice.index
        self._choices.begin(choice.index)
        if choice.finish_reason and choice.finish_reason != "null":
            self.plain = 0
            self.tally.stated(openai_usage(choice.usage))
            self._end(choice.index, str(choice.finish_reason))

    def _end(self, index: int | None, reason: str) -> None:
        self._choices.end(index)
        self.tally.finish_reason = reason[:64]
        self.tally.finishing = self._choices.all_ended

    def _take_usage(self, chunk: _Chunk) -> None:
        self.plain = 0
        if isinstance(chunk.x_groq, dict):
            self.tally.stated(openai_usage(chunk.x_groq.get("usage")))
        self.tally.stated(openai_usage(chunk.usage))

    def _without_choices(self, name: bytes, chunk: _Chunk, data: bytes) -> EventKind:
        for choice in chunk.choices or ():
            self.tally.stated(openai_usage(choice.usage))
        if chunk.usage or chunk.x_groq:
            self._take_usage(chunk)
        if chunk.error:
            # OpenRouter states the billed usage of a failed request in its error event.
            return self.failed(chunk.error)
        if chunk.usage or chunk.x_groq:
            return EventKind.USAGE if chunk.usage and chunk.choices is not None else EventKind.DATA
        if chunk.choices is None:
            return self.odd(name, data)
        return EventKind.DATA

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read a chunk of which only the beginning and the end are known."""
        if name == b"error" or _HEAD_ERROR.match(head):
            self.tally.stated(openai_usage(last_object(tail, "usage")))
            return self.failed(None)
        channels = sum(channel for channel, pattern in _HEADS if pattern.search(head))
        if channels:
            self.tally.count(channels, at)
        reason = last_string(tail, "finish_reason")
        if reason:
            self._end(0, reason)
        self.tally.stated(openai_usage(last_object(tail, "usage")))
        return EventKind.DATA

    def body(self, body: bytes) -> None:
        """Read a whole chat completion."""
        whole = _decode_body(body)
        if whole.error:
            self.failed(whole.error)
        self.tally.model = name_of(whole.model)
        self.tally.response_id = name_of(whole.id) or None
        for choice in whole.choices or ():
            self._note(choice)
        self.tally.stated(openai_usage(whole.usage))


def _channels(choice: _Choice) -> int:
    """Return the channels of a choice's tokens; empty and role-only deltas have none."""
    delta = choice.delta
    if delta is None:
        return TEXT if choice.text else 0
    channels = 0
    if delta.content:
        channels = TEXT if type(delta.content) is str else _part_channels(delta.content)
    if delta.reasoning_content or delta.reasoning or delta.reasoning_text or delta.thinking:
        channels |= REASONING
    elif delta.reasoning_details:
        channels |= _details_channel(delta.reasoning_details)
    if delta.tool_calls or delta.function_call:
        channels |= _call_channel(delta)
    if delta.refusal or delta.audio or delta.images:
        channels |= _rare_channels(delta)
    return channels


def _part_channels(parts: Any) -> int:
    """Return the channels of content as a list of parts (Mistral); thinking is nested."""
    channels = 0
    for part in parts if isinstance(parts, list) else [parts]:
        if isinstance(part, str) and part:
            channels |= TEXT
        elif isinstance(part, dict):
            thought = part.get("thinking") or part.get("reasoning")
            if thought and (not isinstance(thought, list) or _part_channels(thought)):
                channels |= REASONING
            elif part.get("text"):
                channels |= TEXT
    return channels


def _details_channel(details: Any) -> int:
    """Return the channel of OpenRouter's reasoning details, which may be empty."""
    has_content = isinstance(details, list) and any(
        isinstance(part, dict) and (part.get("text") or part.get("summary") or part.get("data"))
        for part in details
    )
    return REASONING if has_content else 0


def _call_channel(delta: _Delta) -> int:
    """Return the channel of a tool call; a name and arguments are tokens, an id alone is not."""
    calls = delta.tool_calls if isinstance(delta.tool_calls, list) else ()
    for call in (*calls, {"function": delta.function_call}):
        function = isinstance(call, dict) and (call.get("function") or call.get("custom"))
        if isinstance(function, dict) and (
            function.get("arguments") or function.get("name") or function.get("input")
        ):
            return TOOL
    return 0


def _rare_channels(delta: _Delta) -> int:
    audio = delta.audio if isinstance(delta.audio, dict) else {}
    channels = TEXT if delta.refusal or audio.get("transcript") else 0
    return channels | (OTHER if audio.get("data") or delta.images else 0)
