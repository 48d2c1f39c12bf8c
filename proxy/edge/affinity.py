"""Upstream affinity: requests about a response go to the upstream that created it.

Only with several upstreams and a store. An ejected upstream is not insisted on.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec

from proxy.record import Family
from proxy.state import aliases
from proxy.state.error_map import StoreUnavailable

if TYPE_CHECKING:
    from proxy.edge.request_context import RequestContext
    from proxy.edge.worker_state import WorkerState

_RESPONSE = re.compile(r"/v1/responses/([^/]+)")
_LONGEST_ID = 200


class _Members(msgspec.Struct):
    previous_response_id: object = None


_decode = msgspec.json.Decoder(_Members).decode
_sending: set[asyncio.Future[Any]] = set()


async def prefer(state: WorkerState, context: RequestContext) -> None:
    """Route the call to the upstream that created the response it refers to."""
    if not applies(state) or context.call is None or context.call.upstream:
        return
    response_id = _referenced_response(context)
    if not response_id or state.resumables is None:
        return
    try:
        alias = await aliases.get_alias(state.resumables.logs.store, response_id)
    except StoreUnavailable:
        return  # Try any upstream.
    if alias is not None and alias.upstream:
        context.call = replace(context.call, upstream=alias.upstream)


def remember(state: WorkerState, context: RequestContext) -> None:
    """Store in the background which upstream created the response, if the answer is one."""
    record, response_id = context.record, context.tally.response_id
    if record.family is not Family.RESPONSES or not response_id or not record.upstream:
        return
    recording = context.recording
    if not applies(state) or state.resumables is None or (recording and recording.log):
        return
    store = state.resumables.logs.store
    command = aliases.set_alias(response_id[:_LONGEST_ID], "", record.upstream)
    task = asyncio.ensure_future(store.pipeline([command], store.timeout))
    _sending.add(task)
    task.add_done_callback(_sent)


def applies(state: WorkerState) -> bool:
    """Whether there are several upstreams, and a store."""
    return state.resumables is not None and len(state.settings.upstreams) > 1


def _referenced_response(context: RequestContext) -> str:
    assert context.call is not None
    if match := _RESPONSE.match(context.request.rel_url.raw_path):
        return match[1]
    if context.record.family is not Family.RESPONSES:
        return ""
    try:
        previous = _decode(context.call.body).previous_response_id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return ""
    return previous[:_LONGEST_ID] if isinstance(previous, str) else ""


def _sent(done: asyncio.Future[Any]) -> None:
    _sending.discard(done)
    # Retrieve the exception, so that asyncio does not warn about it when the store is unavailable.
    if not done.cancelled():
        done.exception()
