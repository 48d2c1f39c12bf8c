"""The flow of one request, top to bottom: understood, let in, called, relayed, accounted for."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

from aiohttp import hdrs, web

from proxy.edge import ask, unpack
from proxy.edge.commit import Early, commit_if_silent
from proxy.edge.deliver import deliver
from proxy.edge.gateway import GATEWAY, Gateway
from proxy.edge.judge import hidden_failure, says_enough
from proxy.edge.reply import Reply, refusal
from proxy.edge.visit import Visit
from proxy.errors import BodyTooLarge, Internal, SluiceError, TotalTimeout, UpstreamRefused
from proxy.upstream.answer import Answer
from proxy.upstream.call import Call
from proxy.upstream.headers import Hop, request_headers


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
            call = await _understand(gateway, visit)
            async with _slot(gateway, visit):
                return await _call_and_deliver(gateway, visit, call)
        except SluiceError as error:
            visit.failed(error)
            visit.exchange.status = error.fault.status
            return refusal(error, visit.exchange)
        except asyncio.CancelledError:
            visit.abandoned()
            raise
        except Exception:
            visit.failed(Internal("Sluice failed."))
            raise


async def _understand(gateway: Gateway, visit: Visit) -> Call:
    """Read the body whole, so that it can be sent again, and see what it asks for."""
    request, exchange = visit.request, visit.exchange
    asked, unpacked = await _read(gateway, visit)
    exchange.model = asked.model
    exchange.wants_stream = asked.wants_stream
    exchange.hides_usage = asked.hides_usage
    visit.choices = asked.choices
    headers = gateway.accounts.traced(
        request_headers(
            request.headers,
            Hop(gateway.peer_of(request), gateway.scheme_of(request), gateway.host_of(request)),
            exchange.request_id,
            wants_stream=asked.wants_stream,
        ),
        exchange,
    )
    if unpacked:
        headers.popall(hdrs.CONTENT_ENCODING)
    return Call(
        request.method,
        request.raw_path,
        headers,
        asked.body,
        asked.model,
        exchange.family,
        asked.wants_stream,
    )


async def _read(gateway: Gateway, visit: Visit) -> tuple[ask.Ask, bool]:
    """Read the body, and what it asks for where that is understood.

    A compressed one must be undone for that; then it goes on as it was meant, and True is given.
    """
    request, most = visit.request, gateway.settings.max_body_bytes
    if (request.content_length or 0) > most:
        raise BodyTooLarge(f"The body is larger than {most} bytes.")
    try:
        body = await request.read()
    except web.HTTPRequestEntityTooLarge:
        raise BodyTooLarge(f"The body is larger than {most} bytes.") from None
    visit.exchange.bytes_in = len(body)
    coding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").strip().lower()
    readable = coding == "identity" or unpack.knows(coding)
    if not (visit.route.understood and request.method == "POST" and readable):
        return ask.Ask(body, visit.route.model, visit.route.streams), False
    if coding != "identity":
        body = await asyncio.to_thread(unpack.unpack, body, coding, most)
    wants_usage = gateway.settings.include_usage
    asked = await gateway.aside.read(visit.route, body, include_usage=wants_usage)
    return asked, coding != "identity"


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


async def _call_and_deliver(gateway: Gateway, visit: Visit, call: Call) -> Reply:
    """Call an upstream, commit when it answers or has been silent for too long, and relay."""
    early: Early | None = None
    async with _calling(gateway, visit, call) as calling:
        try:
            if call.wants_stream:
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
async def _calling(
    gateway: Gateway, visit: Visit, call: Call
) -> AsyncIterator[asyncio.Task[Answer]]:
    """The attempts at an answer, as a task that does not outlive the block."""
    calling = asyncio.create_task(_answer(gateway, visit, call))
    try:
        yield calling
    finally:
        if not calling.done():
            calling.cancel()
            await asyncio.wait({calling})
        elif not calling.cancelled() and calling.exception() is None:
            calling.result().close()


async def _answer(gateway: Gateway, visit: Visit, call: Call) -> Answer:
    total = gateway.settings.total_timeout_seconds
    try:
        async with asyncio.timeout(total or None):
            return await gateway.upstreams.answer(
                call,
                visit.exchange,
                enough=says_enough,
                judge=lambda first: hidden_failure(call.family, first),
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
