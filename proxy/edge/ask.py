"""What a request asks for, read from its body without building what is not needed of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from proxy.edge.routes import Route
from proxy.errors import BadRequest
from proxy.exchange import Family

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_USAGE_ASKED = b'"stream_options":{"include_usage":true},'


class Seen(msgspec.Struct):
    """The members of a body that matter here; what they hold is the client's business."""

    model: Any = None
    n: Any = None
    stream: Any = None
    stream_options: Any = msgspec.UNSET


_SEEN = msgspec.json.Decoder(Seen)


@dataclass(frozen=True, slots=True)
class Ask:
    """The parts of a request that decide its way."""

    body: bytes
    """The body to send on: the client's own, but for usage asked for on its behalf."""
    model: str = ""
    wants_stream: bool = False
    choices: int = 1
    """How many choices were asked for (`n`)."""
    hides_usage: bool = False
    """Usage was added to what is asked for, so the client must not see its chunk."""


def read(route: Route, body: bytes, *, include_usage: bool) -> Ask:
    """Read a request on a route that is understood.

    Raises `BadRequest`, naming the byte, for a body that is no JSON object.
    """
    return understood(route, body, look(body), include_usage=include_usage)


def look(body: bytes | memoryview) -> Seen:
    """See what a body asks for; it is checked whole, and little of it is kept.

    Raises `BadRequest`, naming the byte, if it is no JSON object.
    """
    try:
        return _SEEN.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is no valid JSON: {_where(error, len(body))}.") from None


def understood(route: Route, body: bytes, seen: Seen, *, include_usage: bool) -> Ask:
    """What was seen, in the gateway's terms, with usage asked for where it should be."""
    streams = route.streams or seen.stream is True
    options = seen.stream_options
    asked = isinstance(options, dict) and options.get("include_usage") is True
    hides = include_usage and streams and route.family is Family.CHAT and not asked
    return Ask(
        _asking_for_usage(body, options) if hides else body,
        model=route.model or (seen.model if isinstance(seen.model, str) else ""),
        wants_stream=streams,
        choices=seen.n if isinstance(seen.n, int) and seen.n > 0 else 1,
        hides_usage=hides,
    )


def _asking_for_usage(body: bytes, options: object) -> bytes:
    """The same body with usage asked for; all else stays as the client wrote it."""
    if options is msgspec.UNSET:
        opening = body.index(b"{") + 1
        return body[:opening] + _USAGE_ASKED + body[opening:]
    members: dict[str, object] = dict(_MEMBERS.decode(body))
    own = options if isinstance(options, dict) else {}
    members["stream_options"] = own | {"include_usage": True}
    return msgspec.json.encode(members)


def _where(error: msgspec.DecodeError, size: int) -> str:
    """The fault and its byte, which msgspec leaves out when the text just stops."""
    reason = str(error).removeprefix("JSON is malformed: ")
    if reason.startswith("trailing characters"):
        # Here msgspec counts from one.
        return f"there is more after its end (byte {int(reason.rpartition(' ')[2][:-1]) - 1})"
    if "byte" in reason:
        return reason
    return f"it ends too early (byte {size})" if size else "it is empty (byte 0)"
