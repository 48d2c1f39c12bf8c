"""The flow of one request, top to bottom: understood, let in, called, relayed, accounted for."""

from __future__ import annotations

import asyncio
import time

from aiohttp import web

from proxy.edge import cross_site
from proxy.edge.commit import CommitIfSilent
from proxy.edge.deliver import deliver
from proxy.edge.exhausted import refusal_for
from proxy.edge.gateway import GATEWAY, Gateway
from proxy.edge.judge import hidden_failure, says_enough
from proxy.edge.reply import refusal
from proxy.edge.understand import understand
from proxy.edge.visit import Visit
from proxy.errors import Internal, SluiceError, TotalTimeout
from proxy.relay.pump import Outcome
from proxy.upstream.response import UpstreamResponse


async def forward(request: web.Request) -> web.StreamResponse:
    """Relay one request. With `cancel` its end is the client's; else it may outlive the client."""
    gateway = request.app[GATEWAY]
    visit = Visit.of(request)
    if gateway.settings.on_client_left == "cancel":
        return await _serve(gateway, visit)
    return await _outlive(gateway, visit)


async def _serve(gateway: Gateway, visit: Visit) -> web.StreamResponse:
    record = visit.record
    slot = None
    gateway.accounts.keep(visit)
    hold = gateway.body_memory.hold()
    try:
        cross_site.check(
            visit.request,
            gateway.settings.cors_origins,
            spends_key=gateway.spends_key,
        )
        record.client_key = gateway.keys.name_of(visit.request.headers, visit.request.query)
        visit.call = await understand(gateway, visit, hold)
        gateway.accounts.keep(visit)
        slot = gateway.admission.slot(gateway.waits_as(visit))
        async with slot:
            record.queue_seconds = slot.waited
            with await _first_answer(gateway, visit) as response:
                gateway.accounts.keep(visit)
                hold.release()
                return await deliver(gateway, visit, response)
    except SluiceError as error:
        visit.failed(error)
        return _said(error, gateway, visit)
    except asyncio.CancelledError:
        visit.abandoned()
        raise
    except (MemoryError, OSError, RuntimeError) as error:
        short = refusal_for(error)
        visit.failed(short or Internal("Sluice failed."))
        if short is None:
            raise
        return _said(short, gateway, visit)
    except Exception:
        visit.failed(Internal("Sluice failed."))
        raise
    finally:
        hold.release()
        if slot is not None:
            record.queue_seconds = slot.waited
        gateway.accounts.close(visit)


def _said(error: SluiceError, gateway: Gateway, visit: Visit) -> web.StreamResponse:
    """Tell the client: by a true status, or inside the stream where a 200 is out already."""
    if visit.reply is None or visit.client is None:
        return refusal(error, visit.record)
    words = gateway.stream(visit).cut(error, visit.record.request_id)
    visit.client.write(words, time.monotonic())
    visit.reply.end(Outcome(error.fault.ended_by, whole=False))
    return visit.reply


async def _first_answer(gateway: Gateway, visit: Visit) -> UpstreamResponse:
    """The upstream's answer as it begins; the 200 may be out by then, if it was long in coming."""
    after = gateway.settings.commit_after_seconds
    if not visit.record.wants_stream or not after:
        return await _answer(gateway, visit)
    response = None
    try:
        async with CommitIfSilent(visit, after=after, ping=gateway.settings.ping_interval_seconds):
            response = await _answer(gateway, visit)
    except BaseException:
        if response is not None:
            response.close()
        raise
    return response


async def _answer(gateway: Gateway, visit: Visit) -> UpstreamResponse:
    call, family = visit.call, visit.record.family
    assert call is not None
    # A request may hold megabytes, and its stream may run for an hour.
    visit.call = None
    total = gateway.settings.total_timeout_seconds
    try:
        async with asyncio.timeout(total or None) as limit:
            gateway.limits.add(limit)
            return await gateway.upstreams.request(
                call,
                visit.record,
                is_decidable=says_enough,
                find_error=lambda first: hidden_failure(family, first),
            )
    except TimeoutError:
        late = TotalTimeout(f"There was no answer within {total:g} s.")
        raise gateway.stopped_by or late from None
    finally:
        gateway.limits.discard(limit)


async def _outlive(gateway: Gateway, visit: Visit) -> web.StreamResponse:
    """Serve in a task that goes on when the client leaves, for as long as the setting says."""
    serving = asyncio.create_task(_serve(gateway, visit))
    gateway.outliving.add(serving)
    serving.add_done_callback(gateway.outliving.discard)
    try:
        return await asyncio.shield(serving)
    except asyncio.CancelledError:
        visit.abandoned()
        if visit.record.called_at is None:
            serving.cancel()
        elif gateway.settings.on_client_left == "grace":
            _cancel_after(serving, gateway.settings.grace_seconds)
        raise


def _cancel_after(serving: asyncio.Task[web.StreamResponse], seconds: float) -> None:
    """Cancel the task unless it ends before; a timer that went on would keep all that it holds."""
    timer = asyncio.get_running_loop().call_later(seconds, serving.cancel)
    serving.add_done_callback(lambda _: timer.cancel())
