"""An SSE parser of the tests' own, so that they do not depend on the code under test."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\r|\n")


class Event(NamedTuple):
    """One dispatched event."""

    name: str
    data: str


def events_of(body: bytes) -> list[Event]:
    """Return the events that a client dispatches (WHATWG HTML, 9.2.6), no unfinished one."""
    events: list[Event] = []
    name, data = "", list[str]()
    lines = _LINE_END.split(body.decode("utf-8", "replace").removeprefix("\ufeff"))
    for line in lines[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                events.append(Event(name, "\n".join(data)))
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return events


_PINGS = re.compile(
    rb"((?:\n\n|\r\n\r\n|\r\r|\A))"
    rb"(?:(?:: ping|event: ping(?:\r\n|\n|\r)data: {\"type\": \"ping\"})?(\r\n|\n|\r)\2)"
)


def without_pings(body: bytes) -> tuple[bytes, int]:
    """Return a body without the gateway's pings, and their number; each is between events."""
    count = 0
    while True:
        body, removed = _PINGS.subn(rb"\1", body)
        if not removed:
            return body, count
        count += removed


def pings_in(body: bytes) -> int:
    """Count the gateway's pings in a body."""
    return without_pings(body)[1]
