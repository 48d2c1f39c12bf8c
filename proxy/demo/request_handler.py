"""The flow of a request in the demo, top to bottom: plan, read, answer, send, record."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.http import HttpVersion11

from proxy.demo import request_body as bodies
from proxy.demo.demo_response import Caller, DemoResponse, early, redirect, refusal
from proxy.demo.error_bodies import message_for
from proxy.demo.generation_request import InvalidRequestError
from proxy.demo.grammar import BadWordError, Word, planned, words_in
from proxy.demo.player import play
from proxy.demo.recorded_calls import DEMO_STATE, RecordedCall
from proxy.demo.response_writer import ResponseWriter, WrittenResponse

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from proxy.demo.families.family import Dialect
    from proxy.demo.plan import Plan

REDIRECTED = "/demo/redirected"


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """The server's options: its default plan, the required key, the limit of bodies."""

    defaults: Plan
    api_key: str = ""
    max_body_bytes: int = 64 * 1024**2


OPTIONS = web.AppKey("demo_options", ServerOptions)


@dataclass(slots=True)
class RequestContext:
    """One request while it is answered."""

    request: web.Request
    plan: Plan
    options: ServerOptions
    call: RecordedCall
    caller: Caller
    dialect: Dialect

    async def json(self) -> dict[str, Any]:
        """Read the JSON body; raises InvalidRequestError or TooLargeError."""
        return await bodies.read_json(
            self.request, self.plan, self.call, self.options.max_body_bytes
        )

    def apply(self, words: list[Word]) -> None:
        """Apply words of the grammar to the plan; raises BadWordError."""
        self.plan = planned(self.plan, words)

    def fault_response(self) -> DemoResponse | None:
        """Return the response for a wrong key or a fault with a status; None to answer normally."""
        self.plan = _in_its_run(self.plan, self.call)
        plan = self.plan
        required_key = plan.key or self.options.api_key
        if required_key and bodies.key_of(self.request) != required_key:
            return refusal(plan, self.dialect, self.caller, 401, message_for(401))
        if plan.has("redirect"):
            return redirect(plan, self.caller, REDIRECTED)
        if plan.has("status"):
            status = plan.count("status")
            return refusal(plan, self.dialect, self.caller, status, message_for(status))
        return None


async def expect(request: web.Request) -> None:
    """Send 100 Continue, unless the body is to stay unread (RFC 9110, 10.1.1)."""
    unread = "answer-early" in request.headers.get("X-Demo", "")
    if request.transport is not None and request.version >= HttpVersion11 and not unread:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")


def handler(
    dialect: Dialect, answerer: Callable[[RequestContext], Awaitable[DemoResponse]]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    """Build the aiohttp handler of a route."""

    async def handle(request: web.Request) -> web.StreamResponse:
        state = request.app[DEMO_STATE]
        run = request.headers.get("X-Demo-Run", "")
        call = state.begin(request.method, request.path, run)
        writer = ResponseWriter(request, call)
        try:
            response = await _respond(request, call, dialect, answerer)
            call.status = response.status
            await play(response, writer, call)
        except asyncio.CancelledError:
            call.ended_by = call.ended_by or "left"
            raise
        except (ConnectionError, web.RequestPayloadError):
            # Not reraised: aiohttp would answer 500, and nobody would receive it.
            call.ended_by = call.ended_by or "left"
        finally:
            state.end(call)
        return WrittenResponse(call.status, keep_alive=writer.keep_alive)

    return handle


async def _respond(
    request: web.Request,
    call: RecordedCall,
    dialect: Dialect,
    answerer: Callable[[RequestContext], Awaitable[DemoResponse]],
) -> DemoResponse:
    options = request.app[OPTIONS]
    caller = Caller(f"req_{secrets.token_hex(12)}", http10=request.version < HttpVersion11)
    context = RequestContext(request, options.defaults, options, call, caller, dialect)
    try:
        context.apply(words_in(request.headers.get("X-Demo", "")))
        if context.plan.has("answer-early"):
            context.plan = _in_its_run(context.plan, call)
        if context.plan.has("answer-early"):
            return early(context.plan, caller, dialect)
        return await answerer(context)
    except (InvalidRequestError, BadWordError) as mistake:
        param = getattr(mistake, "param", None)
        return refusal(context.plan.healthy(), dialect, caller, 400, str(mistake), param=param)
    except bodies.TooLargeError as error:
        return refusal(context.plan.healthy(), dialect, caller, 413, str(error))


def _in_its_run(plan: Plan, call: RecordedCall) -> Plan:
    """Remove the faults of the plan, except for the first `fail` requests of a run."""
    call.run = call.run or plan.run
    if not plan.fail:
        return plan
    call.attempt = call.attempt or call.state.attempt(call.run)
    if call.attempt > plan.fail:
        return plan.healthy()
    return plan if plan.faults else plan.failing(status=503)
