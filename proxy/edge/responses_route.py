"""`/v1/responses/{id}`, by which the `openai` SDK resumes, retrieves or cancels a response.

Served from the stream's log if there is one; other ids are passed to the upstream.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from proxy.edge.cursor import number, says_yes
from proxy.edge.downstream_response import ids_of
from proxy.edge.forward import forward
from proxy.edge.replay import View, sequence_of
from proxy.edge.resumable_streams import owner_of
from proxy.edge.stream_errors import StreamNotFound
from proxy.edge.streams_route import found_log, gone, handle, head_of, read
from proxy.edge.worker_state import WORKER_STATE, WorkerState
from proxy.errors import SluiceError
from proxy.meter.assembly.responses import so_far
from proxy.state import aliases
from proxy.state.error_map import StoreUnavailable

if TYPE_CHECKING:
    from proxy.edge.request_context import RequestContext
    from proxy.edge.resumable_streams import ResumableStreams
    from proxy.state.stream_logs import LogState

_CANCEL_SECONDS = 3.0
_POLL_SECONDS = 0.05
_NEWS_SECONDS = 0.1
_CANCELLED = "cancelled"


async def get(request: web.Request) -> web.StreamResponse:
    """Resume a response as a stream, or return its state."""
    stream = await _stream_of(request)
    return await (handle(request, _get, stream) if stream else forward(request))


async def cancel(request: web.Request) -> web.StreamResponse:
    """Stop a response, and return its state."""
    stream = await _stream_of(request)
    return await (handle(request, _cancel, stream) if stream else forward(request))


async def _stream_of(request: web.Request) -> str:
    """Return the id of the response's stream; empty if no log of it is kept.

    Of another key's stream, too: its answer is 404. The upstream knows all keys as one, and would
    give its response to any of them.
    """
    state = request.app[WORKER_STATE]
    if state.resumables is None:
        return ""
    logs = state.resumables.logs
    try:
        name = request.match_info["id"]
        alias = await aliases.get_alias(logs.store, name)
        if alias is None:
            # The client may learn the id before the store does.
            await asyncio.sleep(_NEWS_SECONDS)
            alias = await aliases.get_alias(logs.store, name)
        if alias is None or not alias.stream:
            return ""
        key = state.keys.key_of(request.headers, request.query)
        log = await logs.look(alias.stream, owner_of(request, key))
        kept = log is not None or await logs.exists(alias.stream)
    except (StoreUnavailable, SluiceError):
        return ""  # `forward` reports what is wrong.
    return alias.stream if kept else ""


async def _get(
    state: WorkerState, resumables: ResumableStreams, context: RequestContext, stream: str
) -> web.StreamResponse:
    request = context.request
    if not says_yes(request, "stream"):
        return await _described(resumables, context, stream)
    after = number(request, "starting_after") if "starting_after" in request.query else None
    log = await found_log(resumables, context, stream)
    if log.first > 1:
        oldest = sequence_of(log.oldest)
        if oldest is None:
            return gone(context, "No event of the response is kept any more.", log.first)
        if after is None or oldest > after + 1:
            text = f"The response is kept from the sequence_number {oldest} on."
            return gone(context, text, oldest)
    if request.method == hdrs.METH_HEAD:
        return head_of(context, log)
    return await read(state, context, stream, log.first - 1, View(sequence_after=after))


async def _cancel(
    _state: WorkerState, resumables: ResumableStreams, context: RequestContext, stream: str
) -> web.StreamResponse:
    owner = owner_of(context.request, context.key)
    if not await resumables.logs.stop(stream, owner):
        raise StreamNotFound("There is no such response.")
    loop = asyncio.get_running_loop()
    until = loop.time() + _CANCEL_SECONDS
    while loop.time() < until and (log := await resumables.logs.look(stream, owner)):
        if log.end is not None:
            break
        await asyncio.sleep(_POLL_SECONDS)
    return await _described(resumables, context, stream, stopping=True)


async def _described(
    resumables: ResumableStreams, context: RequestContext, stream: str, *, stopping: bool = False
) -> web.Response:
    log = await found_log(resumables, context, stream)
    document = so_far(await resumables.logs.whole(log))
    document.setdefault("id", context.request.match_info["id"])
    document.setdefault("object", "response")
    document["status"] = _status(log, document, stopping=stopping)
    if document["status"] == _CANCELLED:
        # The error event told the stream's readers; who cancelled it has no error.
        document["error"] = None
    headers = {**ids_of(context.record), hdrs.CACHE_CONTROL: "no-store"}
    return web.json_response(document, headers=headers)


def _status(log: LogState, document: dict[str, Any], *, stopping: bool) -> str:
    """Return the response's status in OpenAI's terms."""
    end = log.end
    if end is None:
        return _CANCELLED if stopping else str(document.get("status") or "in_progress")
    if end.ended_by == "client_left":
        return _CANCELLED
    if end.ended_by != "complete":
        return "failed"
    return str(document.get("status") or "completed")
