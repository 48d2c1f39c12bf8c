"""One stream after the other over one kept connection: what a gateway adds to the first token."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

from bench.load.answers import AnswerReader, Ending
from bench.load.target import Target
from bench.measure.figures import distribution
from bench.stamps import StampReader
from bench.upstream.pace import Pace

_SECOND = 1_000_000_000
_MICROSECOND = 1000


@dataclass(frozen=True, slots=True)
class FirstLoad:
    """Measured requests and those that only warm up before them; `patience` is for each."""

    requests: int
    warm_up: int
    pace: Pace
    patience: float


def added(asked: int, received: int, sent: int, due: int, ttft: float) -> int:
    """Nanoseconds that the way there and back took.

    The first token's due time minus the pace's TTFT is when the request reached the upstream, so
    the upstream's own waiting drops out, its lateness included.
    """
    arrived = due - int(ttft * _SECOND)
    return (received - asked) - (sent - arrived)


async def measure_first(target: Target, load: FirstLoad) -> dict[str, Any]:
    """The added time to first token in microseconds.

    Raises RuntimeError when an answer fails, TimeoutError when one takes too long.
    """
    request = target.request(load.pace.model, stream=True)
    sample: list[float] = []
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        for index in range(load.warm_up + load.requests):
            async with asyncio.timeout(load.patience):
                if reader.at_eof():
                    writer.close()
                    reader, writer = await asyncio.open_connection(target.host, target.port)
                taken = await _one(reader, writer, request, load.pace.ttft)
            if index >= load.warm_up:
                sample.append(taken / _MICROSECOND)
    finally:
        writer.close()
        await writer.wait_closed()
    spread = distribution(sample)
    return {"added_us": None if spread is None else spread.as_dict()}


async def _one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes, ttft: float
) -> int:
    answer, stamps = AnswerReader(stream=True), StampReader()
    first: tuple[int, int, int] | None = None
    asked = time.monotonic_ns()
    writer.write(request)
    while answer.ending is Ending.OPEN:
        data = await reader.read(65536)
        now = time.monotonic_ns()
        if not data:
            answer.close()
        for sent, due in stamps.feed(answer.feed(data)):
            first = first or (now, sent, due)
    if answer.ending is not Ending.COMPLETE or first is None:
        raise RuntimeError(f"an answer ended as {answer.ending.value}, status {answer.status}")
    return added(asked, *first, ttft)
