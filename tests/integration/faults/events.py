"""What an SSE client makes of bytes, written anew here: a test must not trust what it tests."""

from __future__ import annotations

import re
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\r|\n")


class Event(NamedTuple):
    """One event as it is dispatched."""

    name: str
    data: str


def events_of(body: bytes) -> list[Event]:
    """The events that a client dispatches (WHATWG HTML, 9.2.6); an unfinished one is dropped."""
    found: list[Event] = []
    name, data = "", list[str]()
    lines = _LINE_END.split(body.decode("utf-8", "replace").removeprefix("\ufeff"))
    for line in lines[:-1]:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                found.append(Event(name, "\n".join(data)))
            name, data = "", []
        elif field == "event":
            name = value
        elif field == "data":
            data.append(value)
    return found


_PINGS = re.compile(
    rb"((?:\n\n|\r\n\r\n|\r\r|\A))"
    rb"(?:(?:: ping|event: ping(?:\r\n|\n|\r)data: {\"type\": \"ping\"})?(\r\n|\n|\r)\2)"
)


def without_pings(body: bytes) -> tuple[bytes, int]:
    """A body without the gateway's pings, and how many there were; each stands between events."""
    count = 0
    while True:
        body, found = _PINGS.subn(rb"\1", body)
        if not found:
            return body, count
        count += found


def pings_in(body: bytes) -> int:
    """How often the gateway's own ping stands in a body."""
    return without_pings(body)[1]
