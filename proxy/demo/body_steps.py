"""Builds the body of an answer as steps, with its faults."""

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
    """Return the steps of a streamed body, with its end."""
    plan = request.plan
    if plan.has("pings-only"):
        return _pings_for_ever(plan, _ping(family, plan))
    write = _writer(request, family)

    def context(step: Step, sent: int) -> FaultContext:
        return FaultContext(request, family, write, chunked, step, sent)

    places = places_of(plan)
    healthy = _healthy_steps(request, family, write)
    # Most streams have no fault; a generator less makes each token cheaper.
    steps: Iterator[Step] = (
        with_faults(healthy, places, context) if places else chain(healthy, ending(plan))
    )
    if plan.has("pings"):
        steps = _with_pings(steps, plan.seconds("pings"), _ping(family, plan))
    if plan.has("batch"):
        steps = _batched(steps, plan.count("batch"))
    return steps


def whole(request: GenerationRequest, family: Family, *, chunked: bool) -> Iterator[Step]:
    """Return the steps of a JSON body, which is sent at the time of a stream's last token."""
    plan = request.plan
    if plan.has("empty"):
        return ending(plan)
    if plan.has("pings-only"):
        return iter((hang(float("inf")),))
    body = json_bytes(family.whole(request))
    at = duration(request)
    places = dict.fromkeys(places_of(plan), 0)
    # A fault occurs in the middle: a JSON body has no other place inside.
    middle = len(body) // 2 if places else 0
    halves = [Step(Action.SEND, body[:middle], at), Step(Action.SEND, body[middle:], at, 1)]

    def context(step: Step, sent: int) -> FaultContext:
        return FaultContext(request, family, lambda event: event.data, chunked, step, sent)

    return with_faults((half for half in halves if half.data), places, context)


def duration(request: GenerationRequest) -> float:
    """Return the seconds from the request to the last token."""
    plan = request.plan
    return plan.ttft + (max(request.output_tokens - 1, 0) / plan.rate if plan.rate else 0.0)


def _writer(request: GenerationRequest, family: Family) -> Callable[[Event], bytes]:
    return _array_writer() if request.array else style_of(request.plan, family.eol).writer()


def _array_writer() -> Callable[[Event], bytes]:
    """Write events as the elements of one JSON array, which is Gemini's format without alt=sse."""
    lead = b"["

    def write(event: Event) -> bytes:
        nonlocal lead
        frame, lead = lead + event.data, b",\r\n"
        return frame

    return write


def _healthy_steps(
    request: GenerationRequest, family: Family, write: Callable[[Event], bytes]
) -> Iterator[Step]:
    """Yield the encoded events, each at its time."""
    plan = request.plan
    every = 0 if request.array else plan.count("comments")
    comment = style_of(plan, family.eol).comment(b"demo comment")
    mark = _BOM if plan.has("bom") else b""
    at = 0.0
    for number, (at, event) in enumerate(_timed(plan, _chosen(request, family))):
        if every and number % every == 0:
            yield Step(Action.SEND, mark + comment, at)
            mark = b""
        yield Step(Action.SEND, mark + write(event), at, 1)
        mark = b""
    if request.array and not plan.has("no-done", "no-end"):
        yield Step(Action.SEND, b"]", at)


def _chosen(request: GenerationRequest, family: Family) -> Iterator[Event]:
    """Return the family's events, without those that a fault removes."""
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
    return (event for event in events if event.part not in left_out) if left_out else events


def _timed(plan: Plan, events: Iterator[Event]) -> Iterator[tuple[float, Event]]:
    """Yield each event with its time on an absolute schedule, so that delays do not add up."""
    gap = plan.per_event / plan.rate if plan.rate else 0.0
    stray = plan.jitter * gap
    chance = random.Random(plan.seed or None)  # noqa: S311 - spreads times, hides nothing
    at = plan.ttft if plan.opening is None else min(plan.opening, plan.ttft)
    number = 0
    for event in events:
        if event.part is Part.TOKEN:
            due = plan.ttft + number * gap
            at = max(at, due + chance.uniform(-stray, stray)) if stray and number else due
            number += 1
        yield at, event


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
    batch: list[Step] = []
    for step in steps:
        body = step.do is Action.SEND
        if body:
            batch.append(step)
        if batch and (len(batch) >= size or not body):
            data = b"".join(step.data for step in batch)
            yield Step(Action.SEND, data, batch[-1].at, sum(step.events for step in batch))
            batch.clear()
        if not body:
            yield step
