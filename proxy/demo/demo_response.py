"""Builds whole responses: the head, the steps of the body, and the faults before them."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any

from proxy.demo import body_steps, error_bodies, response_head
from proxy.demo.answer_text import FILL, json_bytes
from proxy.demo.body_faults import ending
from proxy.demo.families.family import OPENAI, Dialect
from proxy.demo.response_head import Framing, Head, Headers
from proxy.demo.steps import CLOSE, RESET, Action, Step, hang

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from proxy.demo.families.family import Family
    from proxy.demo.generation_request import GenerationRequest
    from proxy.demo.plan import Plan

JSON = ("Content-Type", "application/json")
_EVENTS = ("Content-Type", "text/event-stream; charset=utf-8")
_INTERIM = {
    100: b"HTTP/1.1 100 Continue\r\n\r\n",
    102: b"HTTP/1.1 102 Processing\r\n\r\n",
    103: b"HTTP/1.1 103 Early Hints\r\nLink: </demo.css>; rel=preload; as=style\r\n\r\n",
}
_OVERLOADED = 529


@dataclass(frozen=True, slots=True)
class Caller:
    """The properties of a request that determine its response's framing and id."""

    request_id: str
    http10: bool = False


@dataclass(frozen=True, slots=True)
class DemoResponse:
    """A response that is ready to be sent by `player.play`."""

    plan: Plan
    status: int
    framing: Framing
    steps: Iterable[Step] = field(repr=False)


def generated(request: GenerationRequest, family: Family, caller: Caller) -> DemoResponse:
    """Build the family's response to a request, streamed or as JSON."""
    plan = request.plan
    dialect = family.dialect
    if not request.stream and plan.has("overloaded", "error", "json-error"):
        status = _OVERLOADED if plan.has("overloaded") else 500
        return refusal(plan, dialect, caller, status, error_bodies.message_for(status))
    framing = response_head.framing_for(plan, streamed=request.stream, http10=caller.http10)
    make = body_steps.streamed if request.stream else body_steps.whole
    body: Iterable[Step] = make(request, family, chunked=framing is Framing.CHUNKED)
    headers = [
        JSON if request.array or not request.stream else _EVENTS,
        ("Cache-Control", "no-cache"),
        *dialect.headers(caller.request_id),
        *dialect.limits(False),
    ]
    # A real server sends the head of a JSON response when it has the whole body.
    at = 0.0 if request.stream else body_steps.duration(request)
    return _response(plan, 200, headers, framing, body, at)


def answer(plan: Plan, dialect: Dialect, caller: Caller, body: Any) -> DemoResponse:
    """Build a 200 with a JSON value."""
    return _json(plan, 200, [JSON, *dialect.headers(caller.request_id)], caller, body)


def refusal(
    plan: Plan,
    dialect: Dialect,
    caller: Caller,
    status: int,
    message: str,
    *,
    param: str | None = None,
) -> DemoResponse:
    """Build an error response in the provider's format."""
    body = dialect.refusal(status, message, param, caller.request_id)
    headers = [
        JSON,
        *dialect.headers(caller.request_id),
        *response_head.retry_headers(plan, status),
    ]
    headers += dialect.limits(status == 429)
    return _json(plan, status, headers, caller, body)


def redirect(plan: Plan, caller: Caller, location: str) -> DemoResponse:
    """Build the redirect that the plan asks for."""
    headers = [("Location", location), JSON]
    return _json(plan, plan.count("redirect"), headers, caller, {"location": location})


def early(plan: Plan, caller: Caller, dialect: Dialect = OPENAI) -> DemoResponse:
    """Build a response that is sent before the request's body is read, and then closes."""
    status = plan.count("answer-early")
    body = json_bytes(
        dialect.refusal(status, error_bodies.message_for(status), None, caller.request_id)
    )
    steps = [Step(Action.SEND, body), *ending(plan)]
    headers: Headers = [JSON, ("Connection", "close")]
    return _response(plan, status, headers, Framing.LENGTH, steps)


def _json(plan: Plan, status: int, headers: Headers, caller: Caller, value: Any) -> DemoResponse:
    framing = response_head.framing_for(plan, streamed=False, http10=caller.http10)
    body = [Step(Action.SEND, json_bytes(value)), *ending(plan)]
    return _response(plan, status, headers, framing, body)


def _response(
    plan: Plan,
    status: int,
    headers: Headers,
    framing: Framing,
    body: Iterable[Step],
    at: float = 0.0,
) -> DemoResponse:
    length = None
    if framing is Framing.LENGTH:
        body = list(body)
        length = sum(_size(plan, step) for step in body)
    head = response_head.head_bytes(Head(status, headers, framing, length), plan)
    opening = _opening(plan, Step(Action.RAW, head, at))
    return DemoResponse(plan, status, framing, chain(opening, body))


def _size(plan: Plan, step: Step) -> int:
    if step.do is not Action.SEND:
        return 0
    return len(step.data) + step.data.count(FILL) * (plan.count("line") - len(FILL))


def _opening(plan: Plan, head_step: Step) -> Iterator[Step]:
    if plan.has("refuse"):
        yield CLOSE
    if plan.has("reset"):
        yield RESET
    if plan.has("hang-before"):
        yield hang(plan.seconds("hang-before"))
    if plan.has("informational"):
        yield Step(Action.RAW, _INTERIM[plan.count("informational")])
    yield head_step
    if plan.has("hang-headers"):
        yield hang(plan.seconds("hang-headers"))
