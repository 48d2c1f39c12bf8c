"""Parses a reader's cursor: `?after=N`, or the `Last-Event-ID` that a browser sends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from aiohttp import hdrs

from proxy.edge.stream_errors import StreamNotFound
from proxy.errors import BadRequest

if TYPE_CHECKING:
    from aiohttp import web

_STREAM_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[0-9]{1,15}", re.ASCII)
_EVENT_ID = re.compile(r"([0-9a-f]{32}):([0-9]{1,15})", re.ASCII)
_YES = frozenset({"1", "true", "yes"})


class Cursor(NamedTuple):
    """How many events the reader has seen, and whether it wants `id:` lines."""

    after: int = 0
    ids: bool = False


def stream_id(text: str) -> str:
    """Return the id if it is well-formed. Raises `StreamNotFound`."""
    if not _STREAM_ID.fullmatch(text):
        raise StreamNotFound("There is no such stream.")
    return text


def last_event(request: web.Request) -> tuple[str, int] | None:
    """Parse `Last-Event-ID` into a stream and an event number; None without the header.

    Raises `StreamNotFound` if it is malformed: starting again would repeat events.
    """
    # Repeated fields are one list (RFC 9110, 5.2), and a list is no event.
    header = ", ".join(request.headers.getall("Last-Event-ID", ())).strip()
    if not header:
        return None
    match = _EVENT_ID.fullmatch(header)
    if match is None:
        raise StreamNotFound("The Last-Event-ID names no stream.")
    return match[1], int(match[2])


def cursor_of(request: web.Request, stream: str) -> Cursor:
    """Return the cursor in this stream. Raises `BadRequest` and `StreamNotFound`."""
    if (last := last_event(request)) is not None:
        if last[0] != stream:
            raise StreamNotFound("The Last-Event-ID names another stream.")
        return Cursor(last[1], ids=True)
    ids = says_yes(request, "ids") or _is_event_source(request)
    return Cursor(number(request, "after"), ids=ids)


def _is_event_source(request: web.Request) -> bool:
    """Whether a browser's EventSource connects for the first time (WHATWG HTML, 9.2.2).

    It gets ids: without them it would read the whole stream again after every reconnect.
    """
    if "after" in request.query or "ids" in request.query:
        return False
    headers = request.headers
    return (
        headers.get(hdrs.ACCEPT) == "text/event-stream"
        and "no-cache" in headers.get(hdrs.CACHE_CONTROL, "")
        and "Sec-Fetch-Mode" in headers
    )


def number(request: web.Request, name: str) -> int:
    """Read a number from the query; 0 if it is absent. Raises `BadRequest` if it is malformed."""
    values = request.query.getall(name, ["0"])
    if len(values) != 1 or not _NUMBER.fullmatch(values[0]):
        raise BadRequest(f"`{name}` must be given once, as a whole number, 0 or more.")
    return int(values[0])


def says_yes(request: web.Request, name: str) -> bool:
    """Whether a query parameter is true."""
    return request.query.get(name, "").strip().lower() in _YES


def wants_progress(request: web.Request) -> bool:
    """Whether the query or the header asks for progress frames."""
    header = request.headers.get("Sluice-Progress", "").strip().lower()
    return header in _YES or says_yes(request, "progress")
