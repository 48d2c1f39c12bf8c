"""Answers that are not streamed, as fast as they come, over a fixed number of connections."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any, cast

from bench.load.announce import announce
from bench.load.answers import AnswerReader, Ending
from bench.load.target import Target
from bench.measure.figures import distribution
from bench.upstream.pace import Pace

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class PlainLoad:
    """Connections, each with one request under way, and seconds of warming up and measuring."""

    connections: int
    pace: Pace
    warm_up: float
    window: float


class PlainClient(asyncio.Protocol):
    """Asks, reads, asks again."""

    def __init__(self, request: bytes, run: PlainRun) -> None:
        self._request = request
        self._run = run
        self._reader = AnswerReader(stream=False)
        self._asked = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The first question."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._ask()

    def data_received(self, data: bytes) -> None:
        """Counts the answer when it is whole."""
        self._reader.feed(data)
        if self._reader.ending is Ending.OPEN:
            return
        self._run.answered(self._asked, self._reader)
        self._ask()

    def connection_lost(self, _: Exception | None) -> None:
        """A gateway may end a kept connection between two answers; the run opens another."""
        self._transport = None
        self._run.lost()

    def close(self) -> None:
        """The run is over."""
        if self._transport is not None:
            self._transport.abort()

    def _ask(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        self._reader = AnswerReader(stream=False)
        self._asked = time.monotonic_ns()
        self._transport.write(self._request)


class PlainRun:
    """A closed loop of plain requests."""

    def __init__(self, target: Target, load: PlainLoad) -> None:
        self._target = target
        self._load = load
        self._request = target.request(load.pace.model, stream=False)
        self._done: list[tuple[int, int]] = []
        self._failures: Counter[str] = Counter()
        self._clients: list[PlainClient] = []
        self._opening: set[asyncio.Task[None]] = set()
        self._over = False

    async def run(self) -> dict[str, Any]:
        """Requests answered in the window, their times in microseconds, failures by kind."""
        load = self._load
        await asyncio.gather(*(self._connect() for _ in range(load.connections)))
        start = time.monotonic_ns() + int(load.warm_up * _SECOND)
        end = start + int(load.window * _SECOND)
        announce("window", start=start, end=end, streams=load.connections)
        cpu = time.process_time()
        await asyncio.sleep(max(0.0, (end - time.monotonic_ns()) / _SECOND))
        busy = (time.process_time() - cpu) / (load.warm_up + load.window)
        self._over = True
        for client in self._clients:
            client.close()
        taken = [(done - asked) / 1000 for asked, done in self._done if start <= done < end]
        spread = distribution(taken)
        return {
            "received": len(taken),
            "taken_us": None if spread is None else spread.as_dict(),
            "failures": dict(self._failures),
            "load_busy": busy,
        }

    def answered(self, asked: int, answer: AnswerReader) -> None:
        """One answer is whole."""
        if answer.ending is Ending.COMPLETE:
            self._done.append((asked, time.monotonic_ns()))
        else:
            self._failures[f"{answer.ending.value} {answer.status}"] += 1

    def lost(self) -> None:
        """One connection is gone."""
        if not self._over:
            self._failures["connection ended"] += 1
            task = asyncio.create_task(self._connect())
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        _, client = await loop.create_connection(
            lambda: PlainClient(self._request, self), self._target.host, self._target.port
        )
        self._clients.append(client)
