"""The player: carries out an answer's steps at their times."""

from __future__ import annotations

import asyncio
import math
import time
from typing import TYPE_CHECKING

from proxy.demo.answer_text import FILL, STAMP
from proxy.demo.event_splits import cutter_for
from proxy.demo.steps import Action

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.demo.demo_response import DemoResponse
    from proxy.demo.plan import Plan
    from proxy.demo.recorded_calls import RecordedCall
    from proxy.demo.response_writer import ResponseWriter
    from proxy.demo.steps import Step


async def play(reply: DemoResponse, wire: ResponseWriter, call: RecordedCall) -> None:
    """Carry the steps out; their times count from now on.

    Raises ConnectionResetError or CancelledError when the peer leaves.
    """
    plan = reply.plan
    wire.shape(reply.framing, gzip=plan.has("gzip"), by_byte=plan.has("drip-wire"))
    put = _Putter(plan, wire)
    start = time.monotonic()
    for step in reply.steps:
        do, data, at, events = step
        if do is Action.HANG:
            await wire.flush()
            await _silence(at)
            start += at
            continue
        ahead = start + at - time.monotonic()
        if ahead > 0:
            await wire.flush()
            await asyncio.sleep(ahead)
        elif wire.full:
            await wire.flush()
            # As fast as possible must not mean alone: other streams have their times to keep.
            await asyncio.sleep(0)
        if do is not Action.SEND:
            await _act(step, wire, call)
            if do in _LAST:
                return
        elif put.plain:
            wire.put(data, events)
        else:
            await put(data, events)
    await wire.flush()


_SPLIT_PAUSE = 0.001
_LAST = frozenset({Action.CLOSE, Action.RESET})


async def _act(step: Step, wire: ResponseWriter, call: RecordedCall) -> None:
    match step.do:
        case Action.RAW:
            wire.put_raw(step.data)
        case Action.FINISH:
            await wire.finish()
            call.ended_by = "finished"
        case Action.CLOSE:
            call.ended_by = call.ended_by or "fault"
            await wire.close()
        case Action.RESET:
            call.ended_by = "fault"
            await wire.reset()


async def _silence(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


def _pause_of(plan: Plan) -> float:
    if plan.drip_pause is not None:
        return plan.drip_pause
    # Long enough for a reader to take one piece before the next; single bytes would take for ever.
    return 0.0 if plan.has("drip") else _SPLIT_PAUSE


class _Putter:
    """Puts body bytes that are stamped, cut into pieces, or longer than anyone should hold."""

    def __init__(self, plan: Plan, wire: ResponseWriter) -> None:
        self._wire = wire
        self._stamp = plan.stamp
        self._filler = plan.count("line")
        self._pause = _pause_of(plan)
        self._cut: Callable[[bytes], list[bytes]] | None = cutter_for(plan)
        self.plain = not (self._stamp or self._filler or self._cut)

    async def __call__(self, data: bytes, events: int) -> None:
        if self._stamp:
            data = data.replace(STAMP, b"%d" % time.monotonic_ns())
        if self._filler and FILL in data:
            before, _, after = data.partition(FILL)
            self._wire.put(before)
            await self._wire.put_filler(self._filler)
            self._wire.put(after, events)
        elif self._cut is not None:
            await self._put_pieces(self._cut(data), events)
        else:
            self._wire.put(data, events)

    async def _put_pieces(self, pieces: list[bytes], events: int) -> None:
        for piece in pieces[:-1]:
            self._wire.put(piece)
            await self._wire.flush()
            await asyncio.sleep(self._pause)
        self._wire.put(pieces[-1], events)
