"""`/v1/streams/{id}`: resumes a stream, returns its state, or stops it, for every family."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from proxy.edge import cross_site
from proxy.edge.cursor import Cursor, cursor_of, stream_id, wants_progress
from proxy.edge.downstream_response import error_response, ids_of
from proxy.edge.reader_progress import ReaderProgress
from proxy.edge.recording import STREAM_ID
from proxy.edge.replay import ENDED_BY, Replay, View, headers_of
from proxy.edge.request_context import RequestContext
from proxy.edge.resumable_streams import owner_of
from proxy.edge.stream_errors import (
    UNSEEN,
    EventsGone,
    LogsUnavailable,
    StreamNotFound,
    StreamsOff,
    TooManyReaders,
)
from proxy.edge.stream_status import describe
from proxy.edge.worker_state import WORKER_STATE, WorkerState
from proxy.errors import BadRequest, SluiceError
from proxy.record import EndedBy
from proxy.state import stream_logs
from proxy.state.error_map import StoreUnavailable

if TYPE_CHECKING:
    from proxy.edge.resumable_streams import ResumableStreams
    from proxy.state.stream_logs import LogState

RETRY = b"retry: 1000\n"
"""How many milliseconds an EventSource waits before it reconnects; a line of the next event."""
_AHEAD_SECONDS = 5.0
_POLL_SECONDS = 0.1
_MOST_AHEAD = 10_000
"""How many events a cursor may be ahead of the store; more is not a cursor of this stream."""
_UNACCEPTABLE = re.compile(r";q=0(\.0*)?(;|$)")
"""A media type that the client does not take (RFC 9110, 12.4.2)."""
RouteHandler = Callable[
    [WorkerState, "ResumableStreams", RequestContext, str], Awaitable[web.StreamResponse]
]


async def get(request: web.Request) -> web.StreamResponse:
    """Return the events after the cursor, or the state as JSON; for HEAD only the head of it."""
    return await handle(request, _get, request.match_info["id"])


async def delete(request: web.Request) -> web.StreamResponse:
    """Stop the stream, whichever worker produces it. Idempotent."""
    return await handle(request, _delete, request.match_info["id"])


async def not_allowed(request: web.Request) -> web.StreamResponse:
    """Answer 405 for other methods."""
    raise web.HTTPMethodNotAllowed(request.method, ["GET", "HEAD", "DELETE"])


async def nothing_here(request: web.Request) -> web.StreamResponse:
    """Answer 404 around the streams: there is no list, and no upstream is asked for one."""
    return await handle(request, _nothing, "")


async def _nothing(*_: object) -> web.StreamResponse:
    raise StreamNotFound("There is no such stream.")


async def handle(request: web.Request, handler: RouteHandler, name: str) -> web.StreamResponse:
    """Run a handler with what all log routes share: authentication, errors and telemetry."""
    state = request.app[WORKER_STATE]
    context = RequestContext.of(request)
    state.identify(context)
    try:
        cross_site.check(
            request,
            state.settings.cors_origins,
            host=context.host,
            spends_key=state.spends_key,
        )
        key = state.keys.key_of(request.headers, request.query)
        context.key, context.record.client_key = key, "" if key is None else key.name
        if state.resumables is None:
            raise StreamsOff("Resumable streams are off.")
        response = await handler(state, state.resumables, context, name)
        if context.response is None:
            context.record.status = response.status
            if context.record.ended_by is None:
                context.record.ended_by = EndedBy.COMPLETE
        return response
    except StoreUnavailable:
        return _refused(context, LogsUnavailable("The store is unavailable.", retry_after=1.0))
    except SluiceError as error:
        return _refused(context, error)
    except asyncio.CancelledError:
        context.record_client_left()
        raise
    finally:
        state.telemetry.finish(context)


async def read(
    state: WorkerState, context: RequestContext, name: str, cursor: int, view: View
) -> web.StreamResponse:
    """Send the stream to a reader, from the cursor on."""
    resumables = state.resumables
    assert resumables is not None
    owner = owner_of(context.request, context.key)
    if not resumables.begin_reading():
        raise TooManyReaders("The maximum of readers is reached.", retry_after=1.0)
    reader = None
    try:
        try:
            log_and_reader = await resumables.logs.read(name, owner, cursor)
        except stream_logs.TooManyReaders:
            text = "This stream has its maximum of readers."
            raise TooManyReaders(text, retry_after=1.0) from None
        if log_and_reader is None:
            raise StreamNotFound("There is no such stream.")
        log, reader = log_and_reader

        state.telemetry.resumed(context.record.route)
        progress = ReaderProgress(resumables, name, owner)
        return await Replay(state, context, log, view, progress.figures).run(reader)
    finally:
        if reader is not None:
            resumables.logs.leave(reader)
        resumables.end_reading()


async def found_log(resumables: ResumableStreams, context: RequestContext, name: str) -> LogState:
    """Look up a log of this client; if its producer died, end it first.

    Raises `StreamNotFound` and `StoreUnavailable`.
    """
    owner = owner_of(context.request, context.key)
    log = await resumables.logs.look(name, owner)
    if log is None:
        raise StreamNotFound("There is no such stream.")
    if await resumables.logs.is_dead(log):
        await resumables.logs.orphans.end(name)
        log = await resumables.logs.look(name, owner) or log
    return log


async def _get(
    state: WorkerState, resumables: ResumableStreams, context: RequestContext, name: str
) -> web.StreamResponse:
    request = context.request
    stream = stream_id(name)
    if wants_json(request):
        log = await found_log(resumables, context, stream)
        document = await describe(resumables, log)
        return web.json_response(
            document, headers={**ids_of(context.record), hdrs.CACHE_CONTROL: "no-store"}
        )
    return await go_on(state, resumables, context, stream, cursor_of(request, stream))


async def go_on(
    state: WorkerState,
    resumables: ResumableStreams,
    context: RequestContext,
    stream: str,
    cursor: Cursor,
) -> web.StreamResponse:
    """Resume at the cursor; 204 if nothing is left, 410 if the next events were dropped."""
    log = await _at_cursor(resumables, context, stream, cursor)
    if cursor.after + 1 < log.first:
        return gone(context, f"The stream is kept from event {log.first} on.", log.first)
    if (end := log.end) is not None and not end.rest and cursor.after >= log.events:
        if not _missed_end(log, cursor):
            return nothing_left(context, log)
        cursor = Cursor(log.events - 1, cursor.ids)
    if context.request.method == hdrs.METH_HEAD:
        return head_of(context, log)
    opening = RETRY if cursor.ids else b""
    view = View(cursor.ids, wants_progress(context.request), opening=opening)
    return await read(state, context, stream, cursor.after, view)


async def _at_cursor(
    resumables: ResumableStreams, context: RequestContext, stream: str, cursor: Cursor
) -> LogState:
    """Return the log when it has caught up with the cursor: the store lags by a moment.

    Raises `BadRequest` for a cursor beyond the log's end.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + _AHEAD_SECONDS
    while True:
        log = await found_log(resumables, context, stream)
        ahead = cursor.after - log.events
        if ahead <= 0 or _missed_end(log, cursor):
            return log
        if log.end is not None or ahead > _MOST_AHEAD or loop.time() >= until:
            raise BadRequest(f"The stream has {log.events} events, not {cursor.after}.")
        await asyncio.sleep(_POLL_SECONDS)


def _missed_end(log: LogState, cursor: Cursor) -> bool:
    """Whether the client has seen more events than a lost log has, but not its end."""
    end = log.end
    lost = end is not None and end.error in UNSEEN
    return lost and log.events < cursor.after <= log.events + _MOST_AHEAD


async def _delete(
    _state: WorkerState, resumables: ResumableStreams, context: RequestContext, name: str
) -> web.StreamResponse:
    stream = stream_id(name)
    if not await resumables.logs.stop(stream, owner_of(context.request, context.key)):
        raise StreamNotFound("There is no such stream.")
    return web.Response(status=204, headers=ids_of(context.record))


def wants_json(request: web.Request) -> bool:
    """Whether the client asks for the state, not for the events."""
    accept = ",".join(request.headers.getall(hdrs.ACCEPT, ())).lower().replace(" ", "")
    wanted = [each for each in accept.split(",") if not _UNACCEPTABLE.search(each)]
    types = {each.partition(";")[0] for each in wanted}
    return "application/json" in types and "text/event-stream" not in types


def head_of(context: RequestContext, log: LogState) -> web.Response:
    """Build the response to a HEAD, which is no reader: no stream goes on for it."""
    return web.Response(headers=headers_of(log, context))


def nothing_left(context: RequestContext, log: LogState) -> web.Response:
    """Build the 204 for a reader that has seen everything; an EventSource stops at that."""
    end = log.end
    assert end is not None
    headers = {STREAM_ID: log.id, ENDED_BY: end.ended_by, hdrs.CACHE_CONTROL: "no-store"}
    return web.Response(status=204, headers={**headers, **ids_of(context.record)})


def gone(context: RequestContext, text: str, first: int) -> web.Response:
    """Build the 410 for a reader whose next events were dropped; `first` is the first one kept."""
    response = _refused(context, EventsGone(text))
    assert isinstance(response.body, bytes)
    document = json.loads(response.body)
    document["first_event"] = document["error"]["first_event"] = first
    response.body = json.dumps(document).encode()
    return response


def _refused(context: RequestContext, error: SluiceError) -> web.Response:
    context.record_error(error)
    return error_response(error, context.record)
