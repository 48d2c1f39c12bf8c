"""Sends a response: executes its steps at their times."""

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


async def play(response: DemoResponse, writer: ResponseWriter, call: RecordedCall) -> None:
    """Execute the steps; their times count from now.

    Raises ConnectionResetError or CancelledError when the peer disconnects.
    """
    plan = response.plan
    writer.shape(response.framing, gzip=plan.has("gzip"), by_byte=plan.has("drip-wire"))
    put = _Putter(plan, writer)
    start = time.monotonic()
    for step in response.steps:
        do, data, at, events = step
        if do is Action.HANG:
            await writer.flush()
            await _silence(at)
            start += at
            continue
        ahead = start + at - time.monotonic()
        if ahead > 0:
            await writer.flush()
            await asyncio.sleep(ahead)
        elif writer.full:
            await writer.flush()
            # Let other streams run: an answer without a rate must not block the event loop.
            await asyncio.sleep(0)
        if do is not Action.SEND:
            await _act(step, writer, call)
            if do in _LAST:
                return
        elif put.plain:
            writer.put(data, events)
        else:
            await put(data, events)
    await writer.flush()


_SPLIT_PAUSE = 0.001
_LAST = frozenset({Action.CLOSE, Action.RESET})


async def _act(step: Step, writer: ResponseWriter, call: RecordedCall) -> None:
    match step.do:
        case Action.RAW:
            writer.put_raw(step.data)
        case Action.FINISH:
            await writer.finish()
            call.ended_by = "finished"
        case Action.CLOSE:
            call.ended_by = call.ended_by or "fault"
            await writer.close()
        case Action.RESET:
            call.ended_by = "fault"
            await writer.reset()


async def _silence(seconds: float) -> None:
    if math.isinf(seconds):
        await asyncio.get_running_loop().create_future()
    await asyncio.sleep(seconds)


def _pause_of(plan: Plan) -> float:
    if plan.drip_pause is not None:
        return plan.drip_pause
    # Long enough for a reader to get the pieces separately; for single bytes it would be too long.
    return 0.0 if plan.has("drip") else _SPLIT_PAUSE


class _Putter:
    """Writes body bytes that are stamped, split, or too long to be buffered."""

    def __init__(self, plan: Plan, writer: ResponseWriter) -> None:
        self._writer = writer
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
            self._writer.put(before)
            await self._writer.put_filler(self._filler)
            self._writer.put(after, events)
        elif self._cut is not None:
            await self._put_pieces(self._cut(data), events)
        else:
            self._writer.put(data, events)

    async def _put_pieces(self, pieces: list[bytes], events: int) -> None:
        for piece in pieces[:-1]:
            self._writer.put(piece)
            await self._writer.flush()
            await asyncio.sleep(self._pause)
        self._writer.put(pieces[-1], events)
