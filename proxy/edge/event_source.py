"""`GET /v1/stream?model=…&q=…[&system=…]`: one question as the URL of a browser's EventSource.

The browser reconnects by itself when its connection breaks (WHATWG HTML, 9.2.3). It then gets the
rest of the same answer: the upstream is not called, or billed, a second time.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from aiohttp import hdrs, web

from proxy.edge.cursor import Cursor, last_event, wants_progress
from proxy.edge.downstream_response import DownstreamResponse
from proxy.edge.forward import serve
from proxy.edge.recording import Recording
from proxy.edge.replay import View
from proxy.edge.request_context import RequestContext
from proxy.edge.resumable_streams import owner_of
from proxy.edge.stream_errors import Stopped
from proxy.edge.streams_route import RETRY, go_on, handle, read
from proxy.errors import BadRequest
from proxy.state import aliases
from proxy.state.error_map import StoreUnavailable

if TYPE_CHECKING:
    from multidict import CIMultiDict

    from proxy.edge.resumable_streams import ResumableStreams
    from proxy.edge.worker_state import WorkerState
    from proxy.state.stream_logs import LogState

_CHAT = "/v1/chat/completions"
_DROPPED = ("Last-Event-ID", hdrs.CONTENT_LENGTH, hdrs.TRANSFER_ENCODING, "Prefer")
_RUNS_SECONDS = 3600
_ONCE = "once"
"""A query parameter that works as an idempotency key: its value makes the URL unique."""
_LEAVES_SECONDS = 0.5
_POLL_SECONDS = 0.05


async def get(request: web.Request) -> web.StreamResponse:
    """Ask the upstream, or resume the answer that the browser was reading."""
    return await handle(request, _get, "")


async def not_allowed(request: web.Request) -> web.StreamResponse:
    """Answer 405 for other methods; none goes to an upstream, with the question in its URL."""
    raise web.HTTPMethodNotAllowed(request.method, ["GET"])


async def _get(
    state: WorkerState, resumables: ResumableStreams, context: RequestContext, _name: str
) -> web.StreamResponse:
    request = context.request
    question = _question(state, context)
    if (last := last_event(request)) is not None:
        stream, after = last
        cursor = Cursor(after, ids=True)
        response = await go_on(state, resumables, context, stream, cursor)
        await _note_end(resumables, context, response, question)
        return response
    body = _body(request)
    stream = await _answering(resumables, context, question) or ""
    if not stream:
        started = await _start(state, resumables, context, body)
        if isinstance(started, web.StreamResponse):
            return started
        stream = started
        seconds = max(_RUNS_SECONDS, round(state.settings.grace_seconds))
        await _tell(resumables, aliases.set_question(question, stream, seconds))
    # This id tells the browser which stream to resume; an event without data is not dispatched.
    opening = RETRY + f"id: {stream}:0\n\n".encode()
    view = View(ids=True, progress=wants_progress(request), opening=opening)
    response = await read(state, context, stream, 0, view)
    await _note_end(resumables, context, response, question)
    return response


def _body(request: web.Request) -> bytes:
    model, question = request.query.get("model", ""), request.query.get("q", "")
    if not model or not question:
        raise BadRequest("`model` and `q` are required: /v1/stream?model=…&q=…")
    messages = [{"role": "user", "content": question}]
    if system := request.query.get("system"):
        messages.insert(0, {"role": "system", "content": system})
    return json.dumps({"model": model, "stream": True, "messages": messages}).encode()


async def _start(
    state: WorkerState, resumables: ResumableStreams, context: RequestContext, body: bytes
) -> str | web.StreamResponse:
    """Ask the upstream. Return the stream's id, or the error response."""
    request = context.request
    headers: CIMultiDict[str] = request.headers.copy()
    for name in _DROPPED:
        headers.popall(name, None)
    headers[hdrs.CONTENT_TYPE] = "application/json"
    headers[hdrs.ACCEPT] = "text/event-stream"
    key = {"key": request.query["key"]} if "key" in request.query else {}
    asking = request.clone(
        method=hdrs.METH_POST,
        rel_url=request.rel_url.with_path(_CHAT).with_query(key),
        headers=headers,
    )
    inner = RequestContext.of(asking)
    inner.body = body
    recording = inner.recording = Recording(resumables, inner, detached=True, for_readers=True)
    response = await serve(state, inner)
    log = recording.log
    if log is None or response.status != web.HTTPAccepted.status_code:
        context.record.ended_by = inner.record.ended_by
        context.record.error = inner.record.error
        return response
    return log.id


async def _answering(
    resumables: ResumableStreams, context: RequestContext, question: str
) -> str | None:
    """Find the stream that answers this question and has lost its reader."""
    store = resumables.logs.store
    stream = await aliases.stream_of_question(store, question)
    if stream is None:
        return None
    owner = owner_of(context.request, context.key)
    until = time.monotonic() + _LEAVES_SECONDS
    while (log := await resumables.logs.look(stream, owner)) is not None and log.first <= 1:
        if _is_one_question(context.request):
            return stream
        if not _is_fresh(resumables, log):
            return None
        if not log.readers:
            return stream
        if time.monotonic() >= until:
            return None
        # A browser may reconnect before the loss of its first connection is noticed.
        await asyncio.sleep(_POLL_SECONDS)
    return None


def _is_one_question(request: web.Request) -> bool:
    """Whether this URL is to be answered by one stream, however often it is requested."""
    return bool(request.query.get(_ONCE))


def _is_fresh(resumables: ResumableStreams, log: LogState) -> bool:
    """Whether the reader may still reconnect: the stream runs, or ended recently."""
    end = log.end
    if end is None:
        return True
    if end.error == Stopped.fault.code:
        return False
    ended = float(log.header.get("created", 0)) + float(end.figures.get("elapsed_seconds", 0))
    return time.time() - ended < (resumables.grace_seconds or 0)


def _question(state: WorkerState, context: RequestContext) -> str:
    """Identify the question by its client (key or address) and its query."""
    client = owner_of(context.request, context.key)
    return f"{client} {state.queue_key(context)} {context.request.query_string}"


async def _note_end(
    resumables: ResumableStreams,
    context: RequestContext,
    response: web.StreamResponse,
    question: str,
) -> None:
    """Forget a question whose answer was read to its end: the next one is asked again."""
    if _is_one_question(context.request):
        return
    was_read = isinstance(response, DownstreamResponse) and response.is_whole
    if was_read or response.status == web.HTTPNoContent.status_code:
        await _tell(resumables, aliases.delete_question(question))


async def _tell(resumables: ResumableStreams, command: Any) -> None:
    try:
        await resumables.logs.store.pipeline([command], resumables.logs.store.timeout)
    except StoreUnavailable:
        return
