"""Relays an upstream's response to the client, from its head to its end."""

from __future__ import annotations

import codecs
import time

from aiohttp import hdrs
from multidict import CIMultiDict

from proxy.edge.downstream_response import (
    REQUEST_ID,
    STREAM_HEADERS,
    DownstreamResponse,
    hang_up,
    ids_of,
    no_retry,
)
from proxy.edge.request_context import RequestContext
from proxy.edge.worker_state import WorkerState
from proxy.errors import UpstreamInvalid, UpstreamRefused
from proxy.meter import server_timing
from proxy.record import EndedBy, Family
from proxy.relay.body_relay import Outcome, relay_body
from proxy.relay.client_writer import ClientWriter
from proxy.relay.event_stream import EventStream
from proxy.relay.opaque_body import OpaqueBody
from proxy.relay.watchdog import StreamWatchdog
from proxy.upstream.response import UpstreamResponse

_TRAILING = "trailing"
LARGEST_HEAD_BYTES = 15 * 1024
"""The largest head that nginx accepts: `proxy_buffer_size` is 16 KiB, with nginx's own fields."""


async def relay_response(
    state: WorkerState, context: RequestContext, response: UpstreamResponse
) -> DownstreamResponse:
    """Relay the response; return the client's, sent except for its last chunk.

    Raises `UpstreamInvalid` and `UpstreamRefused` for a response that cannot be relayed.
    """
    record = context.record
    if context.response is not None and not response.is_event_stream:
        raise UpstreamRefused(f"The upstream answered {response.status}.")
    body_filter = _body_filter(state, context, response)
    _follow(context, body_filter)
    downstream, client = await _send_head(state, context, response, body_filter)
    if record.client_left_at is not None:
        client.left = True
    watchdog = StreamWatchdog(
        state.timeouts_for(response.upstream),
        body_filter,
        client,
        called_at=record.called_at or record.started_at,
        sent_at=record.connected_at or record.started_at,
        pings=response.is_event_stream,
    )
    state.watchdogs.add(watchdog)
    if context.recording is not None:
        context.recording.watch_by(watchdog)
    try:
        outcome = await relay_body(response, body_filter, client, watchdog, record.request_id)
    finally:
        state.watchdogs.discard(watchdog)
    if outcome.blames_upstream:
        state.upstreams.report_failure(response.upstream)
    elif outcome.ended_by is EndedBy.COMPLETE:
        state.upstreams.report_success(response.upstream)
    _conclude(state, context, body_filter, client, outcome)
    if context.progress is not None and outcome.ended_by is not EndedBy.SLOW_CLIENT:
        context.progress.end()
    downstream.end(outcome)
    if outcome.ended_by is EndedBy.SLOW_CLIENT:
        hang_up(context.request)
    return downstream


def _follow(context: RequestContext, body_filter: EventStream | OpaqueBody) -> None:
    """Send progress frames in an event stream only, never in another body."""
    if context.progress is None:
        return
    if isinstance(body_filter, OpaqueBody):
        context.progress.stop()
    else:
        context.progress.body_filter = body_filter


async def _send_head(
    state: WorkerState,
    context: RequestContext,
    response: UpstreamResponse,
    body_filter: EventStream | OpaqueBody,
) -> tuple[DownstreamResponse, ClientWriter]:
    """Send the head, unless it was committed early, and the first bytes of the body."""
    downstream, client = context.response or _new_response(state, context, response), context.client
    now = time.monotonic()
    # Released at once: it may be large, and the stream may run for an hour.
    first, response.first = response.first, b""
    first = body_filter.feed(first, now) if first else b""
    if context.recording is not None and context.recording.detached:
        # There was no client to send it to: whoever reads the stream is the first to get it.
        context.recording.keep_head(response.headers)
    if client is not None:
        if client.sent:
            # After a ping, clients would read the BOM as part of a field name.
            first = first.removeprefix(codecs.BOM_UTF8)
        client.write(first, now)
        client.began_at = now if first else None
        return downstream, client
    return downstream, await context.commit(downstream, first)


def _new_response(
    state: WorkerState, context: RequestContext, response: UpstreamResponse
) -> DownstreamResponse:
    headers = response.headers
    if state.behind_nginx and _size(headers) > LARGEST_HEAD_BYTES:
        # nginx would replace the response by a 502.
        raise UpstreamInvalid(
            f"The response headers of {response.upstream} exceed {LARGEST_HEAD_BYTES} bytes."
        )
    for name, value in ids_of(context.record).items():
        # Keep the upstream's own `Request-Id`: Anthropic's support asks for it.
        if name == REQUEST_ID or name not in headers:
            headers[name] = value
    waits = hdrs.RETRY_AFTER in headers
    headers.update(no_retry(context.record, response.status, asks_to_wait=waits))
    if context.claim is not None:
        context.claim.put_into(headers)
    if response.is_event_stream:
        headers.update(STREAM_HEADERS)
    if context.recording is not None:
        context.recording.answered(headers, is_stream=response.is_event_stream)
    headers.add("Server-Timing", server_timing.server_timing(context.record))
    return DownstreamResponse(status=response.status, reason=response.reason, headers=headers)


def _size(headers: CIMultiDict[str]) -> int:
    return sum(len(name) + len(value) + len(": \r\n") for name, value in headers.items())


def _body_filter(
    state: WorkerState, context: RequestContext, response: UpstreamResponse
) -> EventStream | OpaqueBody:
    if response.is_event_stream:
        return state.start_stream(context)
    is_json = response.headers.get("Content-Type", "").startswith("application/json")
    is_answer = is_json and response.status == 200
    understood = context.route.understood
    return OpaqueBody(
        keep=is_answer and understood,
        ends=is_answer and not understood and context.needs_usage,
    )


def _conclude(
    state: WorkerState,
    context: RequestContext,
    body_filter: EventStream | OpaqueBody,
    client: ClientWriter,
    outcome: Outcome,
) -> None:
    record = context.record
    record.ended_by = outcome.ended_by
    record.error = outcome.error
    record.first_byte_at = record.first_byte_at or body_filter.first_token_at
    record.first_sent_at = client.began_at
    if isinstance(body_filter, OpaqueBody):
        if body_filter.kept:
            state.telemetry.meter_body(context, body_filter.kept)
        elif body_filter.ends:
            state.telemetry.meter_ends(context, body_filter.ends)
        return
    wants_figures = context.request.headers.get("Sluice-Figures", "").strip().lower() == _TRAILING
    # Google's Python SDK parses comments as JSON data and raises.
    if wants_figures and outcome.whole and record.family is not Family.GEMINI:
        record.ended_at = time.monotonic()
        client.write(state.telemetry.trailing_figures(context), record.ended_at)
