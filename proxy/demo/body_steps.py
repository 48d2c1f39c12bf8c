"""From what is asked to what is done: the body of an answer as steps, faults included."""

from __future__ import annotations

import random
from itertools import chain
from typing import TYPE_CHECKING

from proxy.demo.answer_text import json_bytes
from proxy.demo.body_faults import FaultContext, ending, places_of, with_faults
from proxy.demo.events import Event, Part, style_of
from proxy.demo.steps import Action, Step, hang

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from proxy.demo.families.family import Family
    from proxy.demo.generation_request import GenerationRequest
    from proxy.demo.plan import Plan

_BOM = b"\xef\xbb\xbf"
# Without a floor, a ping interval of 0 would never let the schedule advance.
_SHORTEST_GAP = 0.001


def streamed(request: GenerationRequest, family: Family, *, chunked: bool) -> Iterator[Step]:
    """Give the steps of a streamed body, its end included."""
    plan = request.plan
    if plan.has("pings-only"):
        return _pings_for_ever(plan, _ping(family, plan))
    write = _writer(request, family)

    def context(step: Step, sent: int) -> FaultContext:
        return FaultContext(request, family, write, chunked, step, sent)

    places = places_of(plan)
    said = _spoken(request, family, write)
    # Most streams are healthy, and a step that passes fewer generators costs a token less.
    steps: Iterator[Step] = (
        with_faults(said, places, context) if places else chain(said, ending(plan))
    )
    if plan.has("pings"):
        steps = _with_pings(steps, plan.seconds("pings"), _ping(family, plan))
    if plan.has("batch"):
        steps = _batched(steps, plan.count("batch"))
    return steps


def whole(request: GenerationRequest, family: Family, *, chunked: bool) -> Iterator[Step]:
    """Give the steps of a JSON body, which comes at the time of a stream's last token."""
    plan = request.plan
    if plan.has("empty"):
        return ending(plan)
    if plan.has("pings-only"):
        return iter((hang(float("inf")),))
    body = json_bytes(family.whole(request))
    at = duration(request)
    places = dict.fromkeys(places_of(plan), 0)
    # An incident strikes in the middle, for a JSON body has no other place inside.
    middle = len(body) // 2 if places else 0
    halves = [Step(Action.SEND, body[:middle], at), Step(Action.SEND, body[middle:], at, 1)]

    def context(step: Step, sent: int) -> FaultContext:
        return FaultContext(request, family, lambda said: said.data, chunked, step, sent)

    return with_faults((half for half in halves if half.data), places, context)


def duration(request: GenerationRequest) -> float:
    """Give the seconds from the request to the last token."""
    plan = request.plan
    return plan.ttft + (max(request.output_tokens - 1, 0) / plan.rate if plan.rate else 0.0)


def _writer(request: GenerationRequest, family: Family) -> Callable[[Event], bytes]:
    return _array_writer() if request.array else style_of(request.plan, family.eol).writer()


def _array_writer() -> Callable[[Event], bytes]:
    """Write events as the elements of one JSON array, which is Gemini's form without alt=sse."""
    lead = b"["

    def write(said: Event) -> bytes:
        nonlocal lead
        frame, lead = lead + said.data, b",\r\n"
        return frame

    return write


def _spoken(
    request: GenerationRequest, family: Family, write: Callable[[Event], bytes]
) -> Iterator[Step]:
    """Give the events as written down, each at its time."""
    plan = request.plan
    every = 0 if request.array else plan.count("comments")
    comment = style_of(plan, family.eol).comment(b"demo comment")
    mark = _BOM if plan.has("bom") else b""
    at = 0.0
    for number, (at, said) in enumerate(_timed(plan, _chosen(request, family))):
        if every and number % every == 0:
            yield Step(Action.SEND, mark + comment, at)
            mark = b""
        yield Step(Action.SEND, mark + write(said), at, 1)
        mark = b""
    if request.array and not plan.has("no-done", "no-end"):
        yield Step(Action.SEND, b"]", at)


def _chosen(request: GenerationRequest, family: Family) -> Iterator[Event]:
    """Give the family's events, less those that a fault takes away."""
    plan = request.plan
    if plan.has("empty"):
        return iter(())
    if plan.has("overloaded"):
        return iter((family.trouble(request, 529, 0),))
    left_out: set[Part] = set()
    if plan.has("no-done", "no-end"):
        left_out.add(Part.END)
    if plan.has("no-finish", "no-end"):
        left_out.add(Part.FINISH)
    if plan.has("no-usage", "no-end"):
        left_out.add(Part.USAGE)
    events = family.events(request)
    return (said for said in events if said.part not in left_out) if left_out else events


def _timed(plan: Plan, events: Iterator[Event]) -> Iterator[tuple[float, Event]]:
    """Put each token on an absolute schedule, so that delays do not add up."""
    gap = plan.per_event / plan.rate if plan.rate else 0.0
    stray = plan.jitter * gap
    chance = random.Random(plan.seed or None)  # noqa: S311 - spreads times, hides nothing
    at = plan.ttft if plan.opening is None else min(plan.opening, plan.ttft)
    number = 0
    for said in events:
        if said.part is Part.TOKEN:
            due = plan.ttft + number * gap
            at = max(at, due + chance.uniform(-stray, stray)) if stray and number else due
            number += 1
        yield at, said


def _ping(family: Family, plan: Plan) -> bytes:
    style = style_of(plan, family.eol)
    if family.ping is None:
        return style.comment(b"ping")
    return style.writer()(family.ping)


def _pings_for_ever(plan: Plan, ping: bytes) -> Iterator[Step]:
    gap = max(plan.seconds("pings-only"), _SHORTEST_GAP)
    number = 0
    while True:
        yield Step(Action.SEND, ping, number * gap)
        number += 1


def _with_pings(steps: Iterator[Step], gap: float, ping: bytes) -> Iterator[Step]:
    gap = max(gap, _SHORTEST_GAP)
    last = 0.0
    for step in steps:
        if step.do is Action.SEND:
            while step.at - last > gap:
                last += gap
                yield Step(Action.SEND, ping, last)
            last = max(last, step.at)
        yield step


def _batched(steps: Iterator[Step], size: int) -> Iterator[Step]:
    held: list[Step] = []
    for step in steps:
        body = step.do is Action.SEND
        if body:
            held.append(step)
        if held and (len(held) >= size or not body):
            data = b"".join(one.data for one in held)
            yield Step(Action.SEND, data, held[-1].at, sum(one.events for one in held))
            held.clear()
        if not body:
            yield step
