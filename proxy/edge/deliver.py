"""Hands an upstream's answer to the client and sees it through to its end."""

from __future__ import annotations

import codecs
import time

from multidict import CIMultiDict

from proxy.edge.gateway import Gateway
from proxy.edge.reply import REQUEST_ID, STREAM_HEADERS, Reply, hang_up, ids_of
from proxy.edge.visit import Visit
from proxy.errors import UpstreamInvalid, UpstreamRefused
from proxy.meter import server_timing
from proxy.record import EndedBy
from proxy.relay.client_writer import ClientWriter
from proxy.relay.opaque import Opaque
from proxy.relay.pump import Outcome, pump
from proxy.relay.stream import Stream
from proxy.relay.watchdog import StreamWatchdog
from proxy.upstream.response import UpstreamResponse

_TRAILING = "trailing"
LARGEST_HEAD_BYTES = 15 * 1024
"""An answer's headers behind nginx, which takes 16 KiB (`proxy_buffer_size`), its own included."""


async def deliver(gateway: Gateway, visit: Visit, response: UpstreamResponse) -> Reply:
    """Relay the answer; the reply that comes back has been sent but for its last chunk.

    Raises `UpstreamInvalid` and `UpstreamRefused` for what cannot be relayed.
    """
    record = visit.record
    if visit.reply is not None and not response.is_event_stream:
        raise UpstreamRefused(f"The upstream answered {response.status}.")
    body_filter = _through(gateway, visit, response)
    reply, client = await _begin(gateway, visit, response, body_filter)
    if record.client_left_at is not None:
        client.left = True
    watchdog = StreamWatchdog(
        gateway.clocks_of(response.upstream),
        body_filter,
        client,
        called_at=record.called_at or record.started_at,
        sent_at=record.connected_at or record.started_at,
        pings=response.is_event_stream,
    )
    gateway.watches.add(watchdog)
    try:
        outcome = await pump(response, body_filter, client, watchdog, record.request_id)
    finally:
        gateway.watches.discard(watchdog)
    if outcome.blames_upstream:
        gateway.upstreams.report_failure(response.upstream)
    elif outcome.ended_by is EndedBy.COMPLETE:
        gateway.upstreams.report_success(response.upstream)
    _conclude(gateway, visit, body_filter, client, outcome)
    reply.end(outcome)
    if outcome.ended_by is EndedBy.SLOW_CLIENT:
        hang_up(visit.request)
    return reply


async def _begin(
    gateway: Gateway, visit: Visit, response: UpstreamResponse, body_filter: Stream | Opaque
) -> tuple[Reply, ClientWriter]:
    """Send the head, unless that is out already, and with it what has come of the body."""
    reply, client = visit.reply or _reply(gateway, visit, response), visit.client
    now = time.monotonic()
    # Let go of at once: it may be large, and the stream may run for an hour.
    first, response.first = response.first, b""
    first = body_filter.feed(first, now) if first else b""
    if client is not None:
        if client.sent:
            # After a ping it would no longer be read as a mark, but as part of a field's name.
            first = first.removeprefix(codecs.BOM_UTF8)
        client.write(first, now)
        client.began_at = now if first else None
        return reply, client
    return reply, await visit.commit(reply, first)


def _reply(gateway: Gateway, visit: Visit, response: UpstreamResponse) -> Reply:
    headers = response.headers
    if gateway.behind_nginx and _size(headers) > LARGEST_HEAD_BYTES:
        # nginx would drop the whole answer, and say that no worker had answered.
        raise UpstreamInvalid(
            f"The headers of {response.upstream} are over {LARGEST_HEAD_BYTES} bytes."
        )
    for name, value in ids_of(visit.record).items():
        # The upstream's own id under Anthropic's name is what its support asks for.
        if name == REQUEST_ID or name not in headers:
            headers[name] = value
    if response.is_event_stream:
        headers.update(STREAM_HEADERS)
    headers.add("Server-Timing", server_timing.server_timing(visit.record))
    return Reply(status=response.status, reason=response.reason, headers=headers)


def _size(headers: CIMultiDict[str]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers.items())


def _through(gateway: Gateway, visit: Visit, response: UpstreamResponse) -> Stream | Opaque:
    if response.is_event_stream:
        return gateway.stream(visit)
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    return Opaque(keep=is_json and visit.route.understood and response.status == 200)


def _conclude(
    gateway: Gateway,
    visit: Visit,
    body_filter: Stream | Opaque,
    client: ClientWriter,
    outcome: Outcome,
) -> None:
    record = visit.record
    record.ended_by = outcome.ended_by
    record.error = outcome.error
    record.first_byte_at = record.first_byte_at or body_filter.first_token_at
    record.first_sent_at = client.began_at
    if isinstance(body_filter, Opaque):
        if body_filter.kept:
            gateway.accounts.read_body(visit, body_filter.kept)
        return
    wants_figures = visit.request.headers.get("Sluice-Figures", "").strip().lower() == _TRAILING
    if wants_figures and outcome.whole:
        record.ended_at = time.monotonic()
        client.write(gateway.accounts.trailing_figures(visit), record.ended_at)
