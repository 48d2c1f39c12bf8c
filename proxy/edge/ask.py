"""What a request asks for, read from its body without building what is not needed of it."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from proxy.edge.routes import Route
from proxy.errors import BadRequest
from proxy.exchange import Family

_MEMBERS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_PARSED_AT_ONCE_BYTES = 1024 * 1024
_USAGE_ASKED = b'"stream_options":{"include_usage":true},'


class _Body(msgspec.Struct):
    model: Any = None
    n: Any = None
    stream: Any = None
    stream_options: Any = None


_BODY = msgspec.json.Decoder(_Body)


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
    try:
        asked = _BODY.decode(body)
    except msgspec.ValidationError:
        raise BadRequest("The body must be a JSON object.") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"The body is no valid JSON: {_where(error, body)}.") from None
    ask = Ask(
        body,
        model=route.model or (asked.model if isinstance(asked.model, str) else ""),
        wants_stream=route.streams or asked.stream is True,
        choices=asked.n if isinstance(asked.n, int) and asked.n > 0 else 1,
    )
    if not (include_usage and ask.wants_stream and route.family is Family.CHAT):
        return ask
    options = asked.stream_options
    if isinstance(options, dict) and options.get("include_usage") is True:
        return ask
    return replace(ask, body=_asking_for_usage(body, options), hides_usage=True)


async def read_aside(route: Route, body: bytes, *, include_usage: bool) -> Ask:
    """The same, without holding the event loop up for a large body."""
    if len(body) <= _PARSED_AT_ONCE_BYTES:
        return read(route, body, include_usage=include_usage)
    return await asyncio.to_thread(read, route, body, include_usage=include_usage)


def _asking_for_usage(body: bytes, options: object) -> bytes:
    """The same body with usage asked for; all else stays as the client wrote it."""
    if options is None and b'"stream_options"' not in body:
        opening = body.index(b"{") + 1
        return body[:opening] + _USAGE_ASKED + body[opening:]
    members: dict[str, object] = dict(_MEMBERS.decode(body))
    own = options if isinstance(options, dict) else {}
    members["stream_options"] = own | {"include_usage": True}
    return msgspec.json.encode(members)


def _where(error: msgspec.DecodeError, body: bytes) -> str:
    """The fault and its byte, which msgspec leaves out when the text just stops."""
    reason = str(error).removeprefix("JSON is malformed: ")
    if reason.startswith("trailing characters"):
        # Here msgspec counts from one.
        return f"there is more after its end (byte {int(reason.rpartition(' ')[2][:-1]) - 1})"
    if "byte" in reason:
        return reason
    return f"it ends too early (byte {len(body)})" if body else "it is empty (byte 0)"
