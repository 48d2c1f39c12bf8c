"""The flow of one request, top to bottom: understood, let in, called, relayed, accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from aiohttp import web

from proxy.edge.commit import Early, commit_if_silent
from proxy.edge.deliver import deliver
from proxy.edge.gateway import GATEWAY, Gateway
from proxy.edge.judge import hidden_failure, says_enough
from proxy.edge.reply import Reply, refusal
from proxy.edge.understand import understand
from proxy.edge.visit import Visit
from proxy.errors import Internal, SluiceError, TotalTimeout, UpstreamRefused
from proxy.upstream.answer import Answer


async def forward(request: web.Request) -> web.StreamResponse:
    """Relay one request. With `cancel` its end is the client's; else it may outlive the client."""
    gateway = request.app[GATEWAY]
    visit = Visit.of(request)
    if gateway.settings.on_client_left == "cancel":
        return await _serve(gateway, visit)
    return await _outlive(gateway, visit)


async def _serve(gateway: Gateway, visit: Visit) -> web.StreamResponse:
    with gateway.accounts.visit(visit):
        try:
            visit.exchange.client_key = gateway.keys.name_of(
                visit.request.headers, visit.request.query
            )
            visit.call = await understand(gateway, visit)
            async with _slot(gateway, visit):
                return await _call_and_deliver(gateway, visit)
        except SluiceError as error:
            visit.failed(error)
            visit.exchange.status = error.fault.status
            return refusal(error, visit.exchange)
        except asyncio.CancelledError:
            visit.abandoned()
            raise
        except Exception:
            visit.failed(Internal("Sluice failed."))
            visit.exchange.status = Internal.fault.status
            raise


@contextlib.asynccontextmanager
async def _slot(gateway: Gateway, visit: Visit) -> AsyncIterator[None]:
    """Hold one of the worker's slots, to the last byte."""
    arrived = time.monotonic()
    try:
        async with gateway.admission.slot(visit.exchange.client_key):
            visit.exchange.queue_seconds = time.monotonic() - arrived
            yield
    finally:
        if visit.exchange.called_at is None:
            visit.exchange.queue_seconds = time.monotonic() - arrived


async def _call_and_deliver(gateway: Gateway, visit: Visit) -> Reply:
    """Call an upstream, commit when it answers or has been silent for too long, and relay."""
    early: Early | None = None
    async with _calling(gateway, visit) as calling:
        try:
            if visit.exchange.wants_stream:
                settings = gateway.settings
                early = await commit_if_silent(
                    calling,
                    visit,
                    after=settings.commit_after_seconds,
                    ping=settings.ping_interval_seconds,
                )
            answer = await calling
            with answer:
                if early and not answer.is_event_stream:
                    raise UpstreamRefused(f"The upstream answered {answer.status}.")
                return await deliver(gateway, visit, answer, early)
        except SluiceError as error:
            if early is None:
                raise
            return early.fail(error, gateway.stream(visit), visit)


@contextlib.asynccontextmanager
async def _calling(gateway: Gateway, visit: Visit) -> AsyncIterator[asyncio.Task[Answer]]:
    """The attempts at an answer, as a task that does not outlive the block."""
    calling = asyncio.create_task(_answer(gateway, visit))
    try:
        yield calling
    finally:
        calling.cancel()
        await asyncio.wait({calling})
        if not calling.cancelled() and calling.exception() is None:
            calling.result().close()


async def _answer(gateway: Gateway, visit: Visit) -> Answer:
    call, family = visit.call, visit.exchange.family
    assert call is not None
    # A request may hold megabytes, and its stream may run for an hour.
    visit.call = None
    total = gateway.settings.total_timeout_seconds
    try:
        async with asyncio.timeout(total or None):
            return await gateway.upstreams.answer(
                call,
                visit.exchange,
                enough=says_enough,
                judge=lambda first: hidden_failure(family, first),
            )
    except TimeoutError:
        raise TotalTimeout(f"There was no answer within {total:g} s.") from None


async def _outlive(gateway: Gateway, visit: Visit) -> web.StreamResponse:
    """Serve in a task that goes on when the client leaves, for as long as the setting says."""
    serving = asyncio.create_task(_serve(gateway, visit))
    gateway.outliving.add(serving)
    serving.add_done_callback(gateway.outliving.discard)
    try:
        return await asyncio.shield(serving)
    except asyncio.CancelledError:
        visit.abandoned()
        if visit.exchange.called_at is None:
            serving.cancel()
        elif gateway.settings.on_client_left == "grace":
            asyncio.get_running_loop().call_later(gateway.settings.grace_seconds, serving.cancel)
        raise
