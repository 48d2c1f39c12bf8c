"""Reads Gemini's `streamGenerateContent`, as server-sent events or as one JSON array.

Source: Gemini API reference, "GenerateContentResponse" and "UsageMetadata". It has no end marker:
a stream is complete if its body ends cleanly after every candidate's finish reason.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.meter.format_reader import UNREADABLE, Choices, FormatReader
from proxy.meter.json_values import count, last_object, last_string, name_of
from proxy.meter.tally import OTHER, REASONING, TEXT, TOOL, Usage
from proxy.record import EventKind, Family

if TYPE_CHECKING:
    from proxy.meter.tally import Tally

_HEAD_ERROR = re.compile(rb'\s*\[?\s*\{\s*"error"\s*:\s*\{')
_HEADS = (
    (TEXT, re.compile(rb'"text"\s*:\s*"[^"]')),
    (TOOL, re.compile(rb'"(?:functionCall|executableCode)"\s*:\s*\{')),
    (OTHER, re.compile(rb'"(?:inlineData|fileData|codeExecutionResult)"\s*:\s*\{')),
)
_THOUGHT = re.compile(rb'"thought"\s*:\s*true')


class _Part(msgspec.Struct, rename="camel"):
    text: Any = None
    thought: Any = None
    function_call: Any = None
    executable_code: Any = None
    inline_data: Any = None
    file_data: Any = None
    code_execution_result: Any = None


class _Content(msgspec.Struct):
    parts: list[_Part] | None = None


class _Candidate(msgspec.Struct, rename="camel"):
    index: int | None = 0
    content: _Content | None = None
    finish_reason: Any = None


class _Metadata(msgspec.Struct, rename="camel"):
    prompt_token_count: Any = None
    candidates_token_count: Any = None
    thoughts_token_count: Any = None
    cached_content_token_count: Any = None
    tool_use_prompt_token_count: Any = None


class _Chunk(msgspec.Struct, rename="camel"):
    candidates: list[_Candidate] | None = None
    usage_metadata: _Metadata | None = None
    model_version: Any = None
    response_id: Any = None
    prompt_feedback: Any = None
    error: Any = None


_decode = msgspec.json.Decoder(_Chunk).decode
_decode_array = msgspec.json.Decoder(list[_Chunk]).decode


class Gemini(FormatReader):
    """Reads the chunks of generated content."""

    __slots__ = ("_choices",)

    family = Family.GEMINI

    def __init__(self, tally: Tally, choices: int = 1) -> None:
        super().__init__(tally, choices)
        self._choices = Choices(choices)

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read one chunk."""
        try:
            chunk = _decode(data)
        except UNREADABLE:
            return self.unreadable(name, data)
        if chunk.error:
            if chunk.usage_metadata is not None:
                self.tally.stated(_usage(chunk.usage_metadata))
            return self.failed(chunk.error)
        channels = self._take(chunk)
        if channels:
            self.tally.count(channels, at)
        return EventKind.DATA

    def _take(self, chunk: _Chunk) -> int:
        channels = 0
        for candidate in chunk.candidates or ():
            self._choices.begin(candidate.index)
            if candidate.content is not None:
                for part in candidate.content.parts or ():
                    channels |= _channel(part)
            if candidate.finish_reason and candidate.finish_reason != "FINISH_REASON_UNSPECIFIED":
                self._end(candidate.index, str(candidate.finish_reason))
        self.tally.model = name_of(chunk.model_version) or self.tally.model
        self.tally.response_id = name_of(chunk.response_id) or self.tally.response_id
        if isinstance(chunk.prompt_feedback, dict) and chunk.prompt_feedback.get("blockReason"):
            self._end(0, str(chunk.prompt_feedback["blockReason"]))
        if chunk.usage_metadata is not None:
            self.tally.stated(_usage(chunk.usage_metadata))
        return channels

    def _end(self, index: int | None, reason: str) -> None:
        self._choices.end(index)
        self.tally.finish_reason = reason[:64]
        self.tally.finishing = self._choices.all_ended

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read a chunk of which only the beginning and the end are known."""
        if name == b"error" or _HEAD_ERROR.match(head):
            self._take_metadata(tail)
            return self.failed(None)
        channels = sum(channel for channel, pattern in _HEADS if pattern.search(head))
        if channels & TEXT and (_THOUGHT.search(head) or _THOUGHT.search(tail)):
            channels ^= TEXT | REASONING
        if channels:
            self.tally.count(channels, at)
        reason = last_string(tail, "finishReason")
        if reason:
            self._end(0, reason)
        self._take_metadata(tail)
        return EventKind.DATA

    def _take_metadata(self, tail: bytes) -> None:
        metadata = last_object(tail, "usageMetadata")
        if metadata is not None:
            self.tally.stated(_usage(msgspec.convert(metadata, _Metadata)))

    def body(self, body: bytes) -> None:
        """Read a whole response, or the array of chunks of a stream without SSE."""
        chunks = _decode_array(body) if body.lstrip().startswith(b"[") else [_decode(body)]
        for chunk in chunks:
            self._take(chunk)
            if chunk.error:
                self.failed(chunk.error)


def _channel(part: _Part) -> int:
    if part.text:
        return REASONING if part.thought else TEXT
    if part.function_call or part.executable_code:
        return TOOL
    if part.inline_data or part.file_data or part.code_execution_result:
        return OTHER
    return 0


def _usage(metadata: _Metadata) -> Usage:
    """Convert Gemini's usage; thoughts and tool-use prompts are stated separately."""
    thoughts = count(metadata.thoughts_token_count)
    return Usage(
        input=count(metadata.prompt_token_count),
        output=count(metadata.candidates_token_count),
        reasoning=thoughts,
        cached=count(metadata.cached_content_token_count),
        input_beside=count(metadata.tool_use_prompt_token_count),
        output_beside=thoughts,
    )
