"""N streams at once, each on its own connection, opened evenly over a ramp."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from bench.load.announce import announce
from bench.load.answers import AnswerReader, Ending
from bench.load.ledger import Ledger
from bench.load.target import Target
from bench.stamps import StampReader
from bench.upstream.pace import Pace

_SECOND = 1_000_000_000


@dataclass(frozen=True, slots=True)
class StreamLoad:
    """Streams at once, their pace, and the seconds of each phase.

    They open evenly over `ramp`; when all have their first token, they run on for `settle` and are
    measured for `window`; `patience` is what opening and ending may take beyond the schedule.
    """

    streams: int
    pace: Pace
    ramp: float
    settle: float
    window: float
    patience: float


class StreamClient(asyncio.Protocol):
    """One streamed answer, read token by token."""

    __slots__ = ("_begun", "_ended", "_ledger", "_reader", "_request", "_stamps", "_transport")

    def __init__(
        self,
        request: bytes,
        ledger: Ledger,
        begun: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        self._request = request
        self._ledger = ledger
        self._begun: Callable[[], None] | None = begun
        self._ended: Callable[[], None] | None = ended
        self._reader = AnswerReader(stream=True)
        self._stamps = StampReader()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Writes the tokens down with the time at which the bytes were read."""
        now = time.monotonic_ns()
        body = self._reader.feed(data)
        for sent, due in self._stamps.feed(body):
            self._ledger.token(now, sent, due)
            if self._begun is not None:
                self._begun()
                self._begun = None
        if self._reader.ending is not Ending.OPEN:
            self._finish()

    def connection_lost(self, _: Exception | None) -> None:
        """A cut, unless the end mark had come."""
        self._reader.close()
        self._finish()

    def abandon(self) -> None:
        """Leaves in the middle of the answer."""
        if self._transport is not None:
            self._transport.abort()

    def _finish(self) -> None:
        if self._ended is None:
            return
        self._ledger.ended(self._reader.ending, self._reader.status)
        ended, self._ended = self._ended, None
        ended()
        if self._transport is not None:
            self._transport.close()


class StreamRun:
    """Opens the streams, waits until they all run, measures a window, waits for their ends."""

    def __init__(self, target: Target, load: StreamLoad) -> None:
        self._target = target
        self._load = load
        self._ledger = Ledger()
        self._clients: list[StreamClient] = []
        self._not_begun = load.streams
        self._not_ended = load.streams
        self._all_begun = asyncio.Event()
        self._all_ended = asyncio.Event()

    async def run(self) -> dict[str, Any]:
        """The window's figures; says when the window begins and ends before it does."""
        load = self._load
        began = time.monotonic()
        deadline = began + load.ramp + load.patience
        await self._open(began)
        all_begun = await self._wait(self._all_begun, deadline)
        start = time.monotonic_ns() + int(load.settle * _SECOND)
        end = start + int(load.window * _SECOND)
        announce("window", start=start, end=end, streams=load.streams - self._not_begun)
        cpu = time.process_time()
        await asyncio.sleep((end - time.monotonic_ns()) / _SECOND)
        busy = (time.process_time() - cpu) / (load.settle + load.window)
        last = load.pace.seconds + load.patience
        all_ended = await self._wait(self._all_ended, time.monotonic() + last)
        if not all_ended:
            self._ledger.endings["unfinished"] += self._not_ended
            for client in self._clients:
                client.abandon()
        return {
            **self._ledger.figures(start, end),
            "streams": load.streams,
            "all_begun": all_begun,
            "begun_after_seconds": (start - int(load.settle * _SECOND)) / _SECOND - began,
            "load_busy": busy,
        }

    async def _open(self, began: float) -> None:
        request = self._target.request(self._load.pace.model, stream=True)
        opening: list[asyncio.Task[None]] = []
        for index in range(self._load.streams):
            moment = began + self._load.ramp * index / self._load.streams
            await asyncio.sleep(max(0.0, moment - time.monotonic()))
            opening.append(asyncio.create_task(self._connect(request)))
        await asyncio.gather(*opening)

    async def _connect(self, request: bytes) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, client = await loop.create_connection(
                lambda: StreamClient(request, self._ledger, self._begin, self._end),
                self._target.host,
                self._target.port,
            )
        except OSError as error:
            self._ledger.endings[f"connect {type(error).__name__}"] += 1
            self._end()
        else:
            self._clients.append(client)

    def _begin(self) -> None:
        self._not_begun -= 1
        if self._not_begun == 0:
            self._all_begun.set()

    def _end(self) -> None:
        self._not_ended -= 1
        if self._not_ended == 0:
            self._all_begun.set()
            self._all_ended.set()

    async def _wait(self, event: asyncio.Event, deadline: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                await event.wait()
        except TimeoutError:
            return False
        return True
