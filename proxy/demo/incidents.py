"""The faults that strike at a place in the body: cuts, hangs, and errors in mid-stream."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from proxy.demo import shapes
from proxy.demo.pieces import after_leading_byte
from proxy.demo.steps import CLOSE, FINISH, RESET, Do, Step, hang
from proxy.demo.text import FILL

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from proxy.demo.ask import Ask
    from proxy.demo.events import Event
    from proxy.demo.families.family import Family
    from proxy.demo.plan import Plan

_GARBAGE = b"\xff\xfe<!-- not an event -->\r\r\n\n"


class Scene(NamedTuple):
    """Where an incident strikes: before `step`, whose data is empty at the body's end."""

    ask: Ask
    family: Family
    write: Callable[[Event], bytes]
    chunked: bool
    step: Step
    sent: int


def ending(plan: Plan) -> Iterator[Step]:
    """Give the steps that end a body."""
    if plan.has("garbage"):
        yield Step(Do.SEND, _garbage(plan.count("garbage")))
    yield FINISH
    if plan.has("garbage-after"):
        yield Step(Do.RAW, _garbage(plan.count("garbage-after")))
    if plan.has("length-long", "length-short"):
        yield CLOSE


def with_incidents(
    steps: Iterable[Step], places: Mapping[str, int], scene: Callable[[Step, int], Scene]
) -> Iterator[Step]:
    """Let each named incident strike once so many events are sent, and end the body.

    A place beyond the last event is the body's end.
    """
    waiting = dict(places)
    sent = 0
    for step in steps:
        if step.events:
            for name in _due(waiting, sent, step.data):
                del waiting[name]
                yield from _INCIDENTS[name](scene(step, sent))
                if name in _FINAL:
                    return
            sent += step.events
        yield step
    for name in waiting:
        yield from _INCIDENTS[name](scene(Step(Do.SEND), sent))
        if name in _FINAL:
            return
    yield from ending(scene(Step(Do.SEND), sent).ask.plan)


def places_of(plan: Plan) -> dict[str, int]:
    """Give the plan's incidents, each with the number of events after which it strikes."""
    return {name: plan.count(name) for name in _INCIDENTS if plan.has(name)}


def _due(waiting: Mapping[str, int], sent: int, data: bytes) -> list[str]:
    due = [name for name, place in waiting.items() if place <= sent]
    return [name for name in due if name != "cut-utf8" or after_leading_byte(data) is not None]


def _hang(scene: Scene) -> Iterator[Step]:
    yield hang(scene.ask.plan.hang_for)


def _cut(_scene: Scene) -> Iterator[Step]:
    yield CLOSE


def _cut_inside(scene: Scene) -> Iterator[Step]:
    yield scene.step._replace(data=_half(scene.step.data), events=0)
    yield CLOSE


def _cut_utf8(scene: Scene) -> Iterator[Step]:
    data = scene.step.data[: after_leading_byte(scene.step.data) or 0]
    yield scene.step._replace(data=data, events=0)
    yield CLOSE


def _cut_chunk(scene: Scene) -> Iterator[Step]:
    data = scene.step.data.replace(FILL, b"") or b": the last\n\n"
    size = b"%x\r\n" % len(data) if scene.chunked else b""
    yield Step(Do.RAW, size + _half(data), scene.step.at)
    yield CLOSE


def _bad_chunk(scene: Scene) -> Iterator[Step]:
    yield Step(Do.RAW, b"not a size\r\n" + scene.step.data.replace(FILL, b"") + b"\r\n")
    yield CLOSE


def _cut_reset(_scene: Scene) -> Iterator[Step]:
    yield RESET


def _cut_clean(scene: Scene) -> Iterator[Step]:
    yield from ending(scene.ask.plan)


def _error(scene: Scene) -> Iterator[Step]:
    trouble = scene.family.trouble(scene.ask, 500, scene.sent)
    yield Step(Do.SEND, scene.write(trouble), scene.step.at, 1)
    yield from ending(scene.ask.plan)


def _json_error(scene: Scene) -> Iterator[Step]:
    message = shapes.message_for(503)
    body = scene.family.dialect.refusal(503, message, None, scene.ask.ident("req_"))
    yield Step(Do.SEND, json.dumps(body, indent=2).encode() + b"\n", scene.step.at)
    yield from ending(scene.ask.plan)


_INCIDENTS: dict[str, Callable[[Scene], Iterator[Step]]] = {
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
_FINAL = frozenset(_INCIDENTS) - {"hang"}


def _half(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _garbage(size: int) -> bytes:
    return (_GARBAGE * (size // len(_GARBAGE) + 1))[:size]
