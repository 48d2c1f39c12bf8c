"""The events of a stream, and their encodings as SSE."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from proxy.demo.answer_text import json_bytes

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.demo.plan import Plan


class Part(enum.Enum):
    """The purpose of an event, which determines its time, and which faults omit it."""

    OPEN = "structure; sent together with the next or previous event"
    TOKEN = "a token; each has its own time"
    FINISH = "the finish reason of a choice"
    USAGE = "nothing but usage"
    END = "the end marker"
    TROUBLE = "an error"


class Event(NamedTuple):
    """One event: its data (one line of JSON, or `[DONE]`), its part, and its name if it has one."""

    data: bytes
    part: Part
    name: bytes = b""


def event(value: object, part: Part, name: str = "") -> Event:
    """Build an event from a JSON value."""
    return Event(json_bytes(value), part, name.encode())


DONE = Event(b"[DONE]", Part.END)


@dataclass(frozen=True, slots=True)
class Style:
    """An encoding of events; all are valid by the HTML standard, section 9.2.6."""

    eol: bytes = b"\n"
    space: bytes = b" "
    multiline: bool = False
    comments: bool = False
    fields: bool = False

    def writer(self) -> Callable[[Event], bytes]:
        """Return the function that writes one event; the plain style has a fast one."""
        return self._write if self != _PLAIN else _write_plain

    def comment(self, text: bytes) -> bytes:
        """Write a comment block."""
        return b": " + text + self.eol + self.eol

    def _write(self, event: Event) -> bytes:
        lines: list[bytes] = []
        if self.comments:
            lines.append(b": still here")
        if event.name:
            lines.append(b"event:" + self.space + event.name)
        if self.fields:
            lines += (b"id:" + self.space + b"demo-1", b"retry:" + self.space + b"2000", b"x-demo")
        lines += (b"data:" + self.space + line for line in self._lines(event.data))
        return self.eol.join((*lines, b"", b""))

    def _lines(self, data: bytes) -> tuple[bytes, ...]:
        # A JSON object may have a line break after its first and before its last brace.
        if self.multiline and data.startswith(b"{"):
            return b"{", data[1:-1], b"}"
        return (data,)


_PLAIN = Style()


def _write_plain(event: Event) -> bytes:
    if event.name:
        return b"event: %b\ndata: %b\n\n" % (event.name, event.data)
    return b"data: %b\n\n" % event.data


def style_of(plan: Plan, eol: bytes) -> Style:
    """Choose the style: the family's line end, unless a fault sets another."""
    if plan.has("crlf"):
        eol = b"\r\n"
    elif plan.has("cr"):
        eol = b"\r"
    return Style(
        eol=eol,
        space=b"" if plan.has("no-space") else b" ",
        multiline=plan.has("multiline"),
        comments=plan.has("comments"),
        fields=plan.has("fields"),
    )
