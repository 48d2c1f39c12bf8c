"""The faults at a certain place in the body: cuts, hangs, and errors in mid-stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from proxy.demo import error_bodies
from proxy.demo.answer_text import FILL
from proxy.demo.event_splits import after_leading_byte
from proxy.demo.steps import CLOSE, FINISH, RESET, Action, Step, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from proxy.demo.events import Event
    from proxy.demo.families.family import Family
    from proxy.demo.generation_request import GenerationRequest
    from proxy.demo.plan import Plan

_GARBAGE = b"\xff\xfe<!-- not an event -->\r\r\n\n"


class FaultContext(NamedTuple):
    """Where a fault occurs: before `step`, whose data is empty at the end of the body."""

    request: GenerationRequest
    family: Family
    write: Callable[[Event], bytes]
    chunked: bool
    step: Step
    sent: int


def ending(plan: Plan) -> Iterator[Step]:
    """Yield the steps that end a body."""
    if plan.has("garbage"):
        yield Step(Action.SEND, _garbage(plan.count("garbage")))
    yield FINISH
    if plan.has("garbage-after"):
        yield Step(Action.RAW, _garbage(plan.count("garbage-after")))
    if plan.has("length-long", "length-short"):
        yield CLOSE


def with_faults(
    steps: Iterable[Step], places: Mapping[str, int], context: Callable[[Step, int], FaultContext]
) -> Iterator[Step]:
    """Yield the steps with each fault at its place, and the end of the body.

    `places` are numbers of events that are sent before; one beyond the last event is the end.
    """
    waiting = dict(places)
    sent = 0
    for step in steps:
        if step.events:
            for name in _due(waiting, sent, step.data):
                del waiting[name]
                yield from _BODY_FAULTS[name](context(step, sent))
                if name in _FINAL:
                    return
            sent += step.events
        yield step
    for name in waiting:
        yield from _BODY_FAULTS[name](context(Step(Action.SEND), sent))
        if name in _FINAL:
            return
    yield from ending(context(Step(Action.SEND), sent).request.plan)


def places_of(plan: Plan) -> dict[str, int]:
    """Return the plan's faults of the body, each with the number of events sent before it."""
    return {name: plan.count(name) for name in _BODY_FAULTS if plan.has(name)}


def _due(waiting: Mapping[str, int], sent: int, data: bytes) -> list[str]:
    due = [name for name, place in waiting.items() if place <= sent]
    return [name for name in due if name != "cut-utf8" or after_leading_byte(data) is not None]


def _hang(context: FaultContext) -> Iterator[Step]:
    yield hang(context.request.plan.hang_for)


def _cut(_context: FaultContext) -> Iterator[Step]:
    yield CLOSE


def _cut_inside(context: FaultContext) -> Iterator[Step]:
    yield context.step._replace(data=_half(context.step.data), events=0)
    yield CLOSE


def _cut_utf8(context: FaultContext) -> Iterator[Step]:
    data = context.step.data[: after_leading_byte(context.step.data) or 0]
    yield context.step._replace(data=data, events=0)
    yield CLOSE


def _cut_chunk(context: FaultContext) -> Iterator[Step]:
    data = context.step.data.replace(FILL, b"") or b": the last\n\n"
    size = b"%x\r\n" % len(data) if context.chunked else b""
    yield Step(Action.RAW, size + _half(data), context.step.at)
    yield CLOSE


def _bad_chunk(context: FaultContext) -> Iterator[Step]:
    yield Step(Action.RAW, b"not a size\r\n" + context.step.data.replace(FILL, b"") + b"\r\n")
    yield CLOSE


def _cut_reset(_context: FaultContext) -> Iterator[Step]:
    yield RESET


def _cut_clean(context: FaultContext) -> Iterator[Step]:
    yield from ending(context.request.plan)


def _error(context: FaultContext) -> Iterator[Step]:
    trouble = context.family.trouble(context.request, 500, context.sent)
    yield Step(Action.SEND, context.write(trouble), context.step.at, 1)
    yield from ending(context.request.plan)


def _json_error(context: FaultContext) -> Iterator[Step]:
    message = error_bodies.message_for(503)
    body = context.family.dialect.refusal(503, message, None, context.request.ident("req_"))
    yield Step(Action.SEND, json.dumps(body, indent=2).encode() + b"\n", context.step.at)
    yield from ending(context.request.plan)


_BODY_FAULTS: dict[str, Callable[[FaultContext], Iterator[Step]]] = {
    "hang": _hang,
    "cut": _cut,
    "cut-inside": _cut_inside,
    "cut-utf8": _cut_utf8,
    "cut-chunk": _cut_chunk,
    "bad-chunk": _bad_chunk,
    "cut-reset": _cut_reset,
    "cut-clean": _cut_clean,
    "error": _error,
    "json-error": _json_error,
}
_FINAL = frozenset(_BODY_FAULTS) - {"hang"}


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _garbage(size: int) -> bytes:
    return (_GARBAGE * (size // len(_GARBAGE) + 1))[:size]
