"""From a request to a call: the body read whole, what it asks for, the headers that go along."""

from __future__ import annotations

from aiohttp import hdrs

from proxy.edge.ask import Ask
from proxy.edge.body import read
from proxy.edge.body_memory import Hold
from proxy.edge.gateway import Gateway
from proxy.edge.request_head import origin_form
from proxy.edge.unpack import Unpacked, knows
from proxy.edge.visit import Visit
from proxy.upstream.call import Call
from proxy.upstream.headers import Hop, request_headers


async def understand(gateway: Gateway, visit: Visit, hold: Hold) -> Call:
    """The call to make for a request; its exchange learns what is asked for.

    Raises `BadRequest` and `BodyTooLarge`.
    """
    request, record = visit.request, visit.record
    asked, unpacked = await _ask(gateway, visit, hold)
    record.model = asked.model
    record.wants_stream = asked.wants_stream
    record.hides_usage = asked.hides_usage
    visit.choices = asked.choices
    headers = request_headers(
        request.headers,
        Hop(
            gateway.peer_of(request),
            gateway.scheme_of(request),
            gateway.host_of(request),
            gateway.settings.forward_client_address,
        ),
        record.request_id,
        wants_stream=asked.wants_stream,
    )
    if unpacked:
        headers.popall(hdrs.CONTENT_ENCODING)
    return Call(
        request.method,
        origin_form(request),
        gateway.accounts.traced(headers, record),
        asked.body,
        asked.model,
        record.family,
        asked.wants_stream,
        asked.added_usage,
    )


async def _ask(gateway: Gateway, visit: Visit, hold: Hold) -> tuple[Ask, bool]:
    """Read the body, and what it asks for where that is understood.

    A compressed one must be undone for that; then it goes on as it was meant, and True is given.
    """
    request, most = visit.request, gateway.settings.max_body_bytes
    seconds = gateway.settings.body_timeout_seconds
    body = await read(request, hold, most=most, seconds=seconds)
    visit.record.bytes_in = len(body)
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    readable = coding == "identity" or knows(coding)
    if not (visit.route.understood and request.method == "POST" and readable):
        return Ask(body, visit.route.model, visit.route.streams), False
    if coding != "identity":
        body = await _all_of(gateway, Unpacked(body, coding, most), hold)
    wants_usage = gateway.upstreams.asks_for_usage
    asked = await gateway.aside.read(visit.route, body, include_usage=wants_usage)
    return asked, coding != "identity"


async def _all_of(gateway: Gateway, unpacked: Unpacked, hold: Hold) -> bytes:
    packed = hold.size
    parts: list[bytes] = []
    while part := await gateway.aside.piece(unpacked):
        await hold.take(len(part))
        parts.append(part)
    hold.release(packed)
    return b"".join(parts)
