"""Reads OpenAI responses.

Source: OpenAI API reference, "Responses: streaming events".
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from proxy.meter.format_reader import UNREADABLE, FormatReader
from proxy.meter.json_values import last_object, name_of, openai_usage
from proxy.meter.tally import OTHER, REASONING, TEXT, TOOL
from proxy.record import EventKind, Family

_CHANNELS = {
    "response.output_text.delta": TEXT,
    "response.refusal.delta": TEXT,
    "response.audio.transcript.delta": TEXT,
    "response.reasoning_text.delta": REASONING,
    "response.reasoning_summary_text.delta": REASONING,
    "response.reasoning.delta": REASONING,
    "response.reasoning_summary.delta": REASONING,
    "response.function_call_arguments.delta": TOOL,
    "response.custom_tool_call_input.delta": TOOL,
    "response.mcp_call_arguments.delta": TOOL,
    "response.mcp_call.arguments.delta": TOOL,
    "response.code_interpreter_call_code.delta": TOOL,
    "response.code_interpreter_call.code.delta": TOOL,
    "response.shell_call_command.delta": TOOL,
    # The shell's output, not the model's.
    "response.shell_call_output_content.delta": 0,
}
_ENDS = {
    "response.completed": EventKind.END,
    "response.incomplete": EventKind.END,
    "response.cancelled": EventKind.END,
    "response.failed": EventKind.ERROR,
}
_DATA = EventKind.DATA
_TYPE = re.compile(rb'"type"\s*:\s*"((?:response\.[a-z_.]+|error|keepalive))"')
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')


class _Response(msgspec.Struct):
    id: Any = None
    model: Any = None
    status: Any = None
    usage: Any = None
    error: Any = None


class _Event(msgspec.Struct):
    type: Any = None
    sequence_number: Any = None
    delta: Any = None
    response: _Response | None = None
    error: Any = None
    code: Any = None
    usage: Any = None


_decode = msgspec.json.Decoder(_Event).decode
_decode_body = msgspec.json.Decoder(_Response).decode


class Responses(FormatReader):
    """Reads the events of a response."""

    __slots__ = ()

    family = Family.RESPONSES
    done_mark_ends = False

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read one event."""
        try:
            event = _decode(data)
        except UNREADABLE:
            return self.unreadable(name, data)
        kind = event.type
        if type(kind) is not str:
            kind = name.decode("ascii", "replace")
        if type(event.sequence_number) is int:
            self.tally.sequence = event.sequence_number
        if event.delta:
            channel = _CHANNELS.get(kind, OTHER if kind.endswith(".delta") else 0)
            if channel:
                self.tally.count(channel, at)
            return _DATA
        return self._without_delta(kind, event)

    def _without_delta(self, kind: str, event: _Event) -> EventKind:
        if event.response is not None:
            self._take_response(event.response)
        if kind in _ENDS:
            return self._end(kind, event.response.error if event.response else None)
        if kind == "error" or event.error:
            self.tally.stated(openai_usage(event.usage))
            return self.failed(event.error or {"code": event.code})
        return EventKind.PING if kind in {"keepalive", "ping"} else EventKind.DATA

    def _end(self, kind: str, error: Any) -> EventKind:
        self.tally.finish_reason = kind.removeprefix("response.")
        self.tally.finishing = True
        return self.failed(error) if _ENDS[kind] is EventKind.ERROR else EventKind.END

    def _take_response(self, response: _Response) -> None:
        self.tally.model = name_of(response.model) or self.tally.model
        self.tally.response_id = name_of(response.id) or self.tally.response_id
        self.tally.stated(openai_usage(response.usage))

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read an event of which only the beginning and the end are known."""
        types = _TYPE.findall(head) or _TYPE.findall(tail)
        kind = (types[0] if types else name).decode("ascii", "replace")
        numbers = _SEQUENCE.findall(head) or _SEQUENCE.findall(tail)
        if numbers:
            self.tally.sequence = int(numbers[0])
        if kind in _ENDS:
            self.tally.stated(openai_usage(last_object(tail, "usage")))
            return self._end(kind, None)
        if kind == "error":
            self.tally.stated(openai_usage(last_object(tail, "usage")))
            return self.failed(None)
        channel = _CHANNELS.get(kind, OTHER if kind.endswith(".delta") else 0)
        if channel:
            self.tally.count(channel, at)
        return EventKind.DATA

    def body(self, body: bytes) -> None:
        """Read a whole response."""
        whole = _decode_body(body)
        if whole.error:
            self.failed(whole.error)
        self._take_response(whole)
        self.tally.finish_reason = name_of(whole.status)[:64]
        self.tally.finishing = bool(whole.status)
