"""Prepares the upstream call of a request: reads its body, its parameters and its headers."""

from __future__ import annotations

from aiohttp import hdrs

from proxy.edge.body_memory import Hold
from proxy.edge.request_body import read
from proxy.edge.request_context import RequestContext
from proxy.edge.request_head import origin_form
from proxy.edge.request_params import RequestParams
from proxy.edge.worker_state import WorkerState
from proxy.http.decompress import PIECE_BYTES, DecompressedBody, can_decompress
from proxy.upstream.call import Call
from proxy.upstream.headers import Hop, request_headers

_FIRST_PIECE_BYTES = 64 * 1024
"""Decompressed bytes before a body must wait for its turn in `BodyMemory.growing`."""


async def prepare(state: WorkerState, context: RequestContext, hold: Hold) -> Call:
    """Build the upstream call of a request, and note its parameters in the record.

    Raises `BadRequest` and `BodyTooLarge`.
    """
    request, record = context.request, context.record
    params, decompressed = await _read_params(state, context, hold)
    record.model = params.model
    record.wants_stream = params.wants_stream
    record.hides_usage = params.hides_usage
    context.choices = params.choices
    context.max_output = params.max_output
    client = context.source or state.client_of(request)
    headers = request_headers(
        request.headers,
        Hop(
            client.peer,
            client.scheme,
            client.host,
            state.settings.forward_client_address,
            client.trusted,
        ),
        record.request_id,
        wants_stream=params.wants_stream,
    )
    if decompressed:
        headers.popall(hdrs.CONTENT_ENCODING)
    key = context.key
    if key is not None and (
        context.needs_usage or ("*" not in key.models and request.method == "GET")
    ):
        # The response must be readable: to filter a list of models, or to read the stated usage.
        headers[hdrs.ACCEPT_ENCODING] = "identity"
    return Call(
        record,
        origin_form(request),
        state.telemetry.add_trace_context(headers, record),
        params.body,
        params.added_usage,
        "" if context.key is None else context.key.upstream or "",
        params.model_at,
    )


async def _read_params(
    state: WorkerState, context: RequestContext, hold: Hold
) -> tuple[RequestParams, bool]:
    """Read the body and, on routes that are understood, its parameters.

    Return with them whether the body was decompressed, and so is sent on uncompressed.
    """
    request, max_bytes = context.request, state.settings.max_body_bytes
    seconds = state.settings.body_timeout_seconds
    body = context.body
    if body is None:
        body = await read(request, hold, max_bytes=max_bytes, seconds=seconds)
    context.record.bytes_in = len(body)
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    readable = coding == "identity" or can_decompress(coding)
    if not (context.route.understood and request.method == "POST" and readable):
        return RequestParams(body, context.route.model, context.route.streams), False
    if coding != "identity":
        body = await _decompress(state, DecompressedBody(body, coding, max_bytes), hold)
    params = await state.body_parser.parse(
        context.route,
        body,
        include_usage=state.upstreams.asks_for_usage,
        find_model=state.upstreams.renames,
    )
    return params, coding != "identity"


async def _decompress(state: WorkerState, decompressed: DecompressedBody, hold: Hold) -> bytes:
    compressed_size = hold.size
    parts = [await state.body_parser.piece(decompressed, _FIRST_PIECE_BYTES)]
    await hold.take(len(parts[0]))
    if len(parts[0]) == _FIRST_PIECE_BYTES:
        async with state.body_memory.growing():
            while part := await state.body_parser.piece(decompressed, PIECE_BYTES):
                await hold.take(len(part))
                parts.append(part)
    hold.release(compressed_size)
    return b"".join(parts)
