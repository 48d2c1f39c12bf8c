"""The flow of one request, top to bottom: authenticate, admit, call, relay, record."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from proxy.edge import affinity, cross_site, model_list
from proxy.edge.admission import Slot
from proxy.edge.body_memory import Hold
from proxy.edge.cursor import wants_progress
from proxy.edge.downstream_response import error_response
from proxy.edge.early_commit import CommitIfSilent
from proxy.edge.first_event import hidden_error, is_decidable
from proxy.edge.live_progress import LiveProgress
from proxy.edge.prepare_call import prepare
from proxy.edge.recording import accepted
from proxy.edge.request_context import RequestContext
from proxy.edge.requested_models import check_rights
from proxy.edge.resource_exhaustion import refusal_for
from proxy.edge.response_relay import relay_response
from proxy.edge.resumable_streams import owner_of
from proxy.edge.routes import is_passed
from proxy.edge.stream_progress import LengthHistory, StreamProgress
from proxy.edge.worker_state import WORKER_STATE, WorkerState
from proxy.errors import Internal, SluiceError, TotalTimeout
from proxy.http.client_connection import refuse_rest
from proxy.relay.body_relay import Outcome
from proxy.upstream.response import UpstreamResponse


async def forward(request: web.Request) -> web.StreamResponse:
    """Relay one request."""
    state = request.app[WORKER_STATE]
    if not is_passed(request.rel_url.raw_path, state.settings.paths):
        raise web.HTTPNotFound
    return await serve(state, RequestContext.of(request))


async def serve(state: WorkerState, context: RequestContext) -> web.StreamResponse:
    """Relay the request of this context; unless set to `cancel`, it may outlive its client."""
    if state.resumables is not None:
        context.recording = context.recording or state.resumables.recording_for(context, state.keys)
    if context.recording is None and state.settings.on_client_left == "cancel":
        return await _serve(state, context)
    return await _outlive(state, context)


async def _serve(state: WorkerState, context: RequestContext) -> web.StreamResponse:
    record = context.record
    slot = None
    state.identify(context)
    state.telemetry.keep(context)
    hold = state.body_memory.hold()
    try:
        slot = await _admitted(state, context, hold)
        async with slot:
            record.queue_seconds = slot.waited
            with await _first_response(state, context, hold) as answer:
                state.telemetry.keep(context)
                hold.release()
                return await relay_response(state, context, answer)
    except SluiceError as error:
        context.record_error(error)
        return _send_error(error, state, context)
    except asyncio.CancelledError:
        stopped_by = context.recording and context.recording.stopped_by
        if not stopped_by:
            context.record_client_left()
            raise
        context.record_error(stopped_by)
        return _send_error(stopped_by, state, context)
    except (MemoryError, OSError, RuntimeError) as error:
        short = refusal_for(error)
        context.record_error(short or Internal("Sluice failed."))
        if short is None:
            raise
        if isinstance(error, MemoryError):
            refuse_rest(context.request, error)
        response = _send_error(short, state, context)
        # Closing frees a descriptor, and after a failed read the next request's start is unknown.
        response.force_close()
        return response
    except Exception:
        context.record_error(Internal("Sluice failed."))
        raise
    finally:
        hold.release()
        if slot is not None:
            record.queue_seconds = slot.waited
        _finish(state, context)


async def _admitted(state: WorkerState, context: RequestContext, hold: Hold) -> Slot:
    """Authenticate and check the request, and return its slot, to be entered.

    Raises the `SluiceError` that refuses it.
    """
    cross_site.check(
        context.request,
        state.settings.cors_origins,
        host=context.host,
        spends_key=state.spends_key,
    )
    key = context.key = state.keys.key_of(context.request.headers, context.request.query)
    context.record.client_key = "" if key is None else key.name
    context.call = await prepare(state, context, hold)
    if key is not None:
        check_rights(key, context)
        if key.limited:
            await state.limiter.admit(context)
    if state.resumables is not None:
        await affinity.prefer(state, context)
    if context.recording is not None:
        await context.recording.open(owner_of(context.request, key))
    context.progress = _progress_of(context)
    state.telemetry.keep(context)
    context.slot = state.admission.slot(state.queue_key(context), key.priority if key else 0)
    return context.slot


def _progress_of(context: RequestContext) -> LiveProgress | None:
    """Return the progress frames' writer if the client reads a stream and asked for them."""
    if not context.record.wants_stream or not context.route.understood:
        return None
    recording = context.recording
    if not wants_progress(context.request) or (recording is not None and recording.detached):
        return None
    return LiveProgress(
        context, recording.figures if recording else StreamProgress(context, LengthHistory())
    )


def _finish(state: WorkerState, context: RequestContext) -> None:
    if context.progress is not None:
        context.progress.stop()
    state.telemetry.finish(context)
    if state.resumables is not None:
        affinity.remember(state, context)
    if context.claim is not None:
        state.limiter.settle(context)
    if context.recording is not None:
        context.recording.end()
        # Each refers to the other: without this only the garbage collector would free them.
        context.recording = None


def _send_error(
    error: SluiceError, state: WorkerState, context: RequestContext
) -> web.StreamResponse:
    """Answer with the error's status or, after the commit, with an error event."""
    if context.response is None or context.client is None:
        refused = error_response(error, context.record)
        if context.claim is not None:
            context.claim.put_into(refused.headers)
        return refused
    last_event = state.start_stream(context).cut(error, context.record.request_id)
    context.client.write(last_event, time.monotonic())
    if context.progress is not None:
        context.progress.end()
    context.response.end(Outcome(error.fault.ended_by, whole=False))
    return context.response


async def _first_response(
    state: WorkerState, context: RequestContext, hold: Hold
) -> UpstreamResponse:
    """Call the upstream; return its response, possibly after an early commit to the client."""
    after = state.settings.commit_after_seconds
    # A detached request has no client that waits, and its response was set at the start.
    if not context.record.wants_stream or not after or context.response is not None:
        return await _request_upstream(state, context, hold)
    response = None
    try:
        async with CommitIfSilent(context, after=after, ping=state.settings.ping_interval_seconds):
            response = await _request_upstream(state, context, hold)
    except BaseException:
        if response is not None:
            response.close()
        raise
    return response


async def _request_upstream(
    state: WorkerState, context: RequestContext, hold: Hold
) -> UpstreamResponse:
    call, family = context.call, context.record.family
    assert call is not None
    # Release the request's body: it may be megabytes, and the stream may run for an hour.
    context.call = None
    total = state.settings.total_timeout_seconds
    try:
        async with asyncio.timeout(total or None) as limit:
            state.pending_timeouts.add(limit)
            response = await state.upstreams.request(
                call,
                is_decidable=is_decidable,
                find_error=lambda first: hidden_error(family, first),
                may_hold=hold.has_room,
            )
            if context.key is not None and model_list.is_listed(context.key, call):
                return await model_list.only_allowed(context.key, response, hold)
            return response
    except TimeoutError:
        late = TotalTimeout(f"No upstream answered within {total:g} s.")
        raise state.stopped_by or late from None
    finally:
        state.pending_timeouts.discard(limit)


async def _outlive(state: WorkerState, context: RequestContext) -> web.StreamResponse:
    """Serve in a task that continues when the client disconnects.

    How long depends on `SLUICE_ON_CLIENT_LEFT` or, with a log, on how long it may be resumed.
    """
    serving = asyncio.create_task(_serve(state, context))
    state.outliving.add(serving)
    serving.add_done_callback(state.outliving.discard)
    recording = context.recording
    try:
        if recording is not None:
            recording.serving = serving
            if recording.detached and await recording.begun():
                response = accepted(recording, context.record.request_id)
                if context.claim is not None:
                    context.claim.put_into(response.headers)
                return response
        return await asyncio.shield(serving)
    except asyncio.CancelledError:
        if recording is not None and recording.client_left():
            raise
        context.record_client_left()
        if context.record.called_at is None or state.settings.on_client_left == "cancel":
            serving.cancel()
        elif state.settings.on_client_left == "grace":
            _cancel_after(serving, state.settings.grace_seconds)
        raise


def _cancel_after(serving: asyncio.Task[web.StreamResponse], seconds: float) -> None:
    """Cancel the task after a delay; cancel the timer when the task ends, to release it."""
    timer = asyncio.get_running_loop().call_later(seconds, serving.cancel)
    serving.add_done_callback(lambda _: timer.cancel())
