"""Where a reader goes on: `?after=N`, or the last event id that a browser repeats."""

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
    """How many events have been seen, and whether each is to have an id."""

    after: int = 0
    ids: bool = False


def stream_id(text: str) -> str:
    """The id, if it could be one. Raises `StreamNotFound`."""
    if not _STREAM_ID.fullmatch(text):
        raise StreamNotFound("There is no such stream.")
    return text


def last_event(request: web.Request) -> tuple[str, int] | None:
    """Stream and number of the event that a browser had last; None if it had none.

    Raises `StreamNotFound` for what is no such id: to begin anew would show events twice.
    """
    said = request.headers.get("Last-Event-ID", "").strip()
    if not said:
        return None
    found = _EVENT_ID.fullmatch(said)
    if found is None:
        raise StreamNotFound("The Last-Event-ID is of no stream here.")
    return found[1], int(found[2])


def cursor_of(request: web.Request, stream: str) -> Cursor:
    """Where to go on in this stream. Raises `BadRequest` and `StreamNotFound`."""
    if (last := last_event(request)) is not None:
        if last[0] != stream:
            raise StreamNotFound("The Last-Event-ID is of another stream.")
        return Cursor(last[1], ids=True)
    ids = says_yes(request, "ids") or _is_event_source(request)
    return Cursor(number(request, "after"), ids=ids)


def _is_event_source(request: web.Request) -> bool:
    """Whether a browser's EventSource asks, at the beginning (WHATWG HTML, 9.2.2; Fetch Metadata).

    Without ids it would have the whole stream again after each break, and after the end.
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
    """A number from the query; 0 if it is not there. Raises `BadRequest` if it is none."""
    said = request.query.getall(name, ["0"])
    if len(said) != 1 or not _NUMBER.fullmatch(said[0]):
        raise BadRequest(f"`{name}` is a number of events, from 0 on.")
    return int(said[0])


def says_yes(request: web.Request, name: str) -> bool:
    """Whether the query switches something on."""
    return request.query.get(name, "").strip().lower() in _YES


def wants_progress(request: web.Request) -> bool:
    """Whether progress frames are asked for, by the query or by a header."""
    header = request.headers.get("Sluice-Progress", "").strip().lower()
    return header in _YES or says_yes(request, "progress")
