"""Calls to the store: batched, each with a deadline, behind a circuit breaker."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import structlog

from proxy.state import script
from proxy.state.circuit_breaker import CircuitBreaker
from proxy.state.deadline import deadline
from proxy.state.error_map import (
    TIMEOUT,
    StoreUnavailable,
    is_forbidden_command,
    is_unknown_script,
    mapped,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.state.backend import Backend, Command
    from proxy.state.script import Script

_log = structlog.get_logger("store")

Argument = str | bytes | int

_PROBE = script.load("probe")

PREFIX = "sluice:"
LANES = 4
"""Concurrent batches, and therefore connections, of one worker."""
_BATCH = 64
"""Calls per batch; small, so that a long queue is answered piece by piece."""
_LONGEST_QUEUE = 10_000


def key_of(tag: str, part: str) -> str:
    """Build a key; all keys of one tag are on the same node of a cluster."""
    return f"{PREFIX}{{{tag}}}:{part}"


class Observer:
    """Receives what the store's metrics count. The methods are called often and must be cheap."""

    def call(self, seconds: float, result: str) -> None:
        """Note a call's duration, and its result: `ok` or the reason of the failure."""

    def state(self, *, available: bool) -> None:
        """Note that the store became available or unavailable."""


@dataclass(slots=True, eq=False)
class _Call:
    script: Script
    keys: tuple[str, ...]
    arguments: tuple[Argument, ...]
    answer: asyncio.Future[Any]
    resent: bool = False

    def command(self, *, whole: bool) -> Command:
        evaluate = ("EVAL", self.script.source) if whole else ("EVALSHA", self.script.sha)
        return (*evaluate, len(self.keys), *self.keys, *self.arguments)


@dataclass(slots=True, eq=False)
class Store:
    """A worker's client of the store; a context manager.

    A call waits at most `timeout` seconds for a silent store, and at most four times as long while
    the store answers calls ahead of it in the queue. A batch that times out closes its connection,
    so that no later call reads its answers. After a few failures no more calls are made until a
    background probe has written successfully.
    """

    backend: Backend
    timeout: float
    observer: Observer = field(default_factory=Observer)
    breaker: CircuitBreaker = field(default_factory=CircuitBreaker)
    clock: Callable[[], float] = time.monotonic
    _queue: deque[_Call] = field(default_factory=deque)
    _lanes: set[asyncio.Task[None]] = field(default_factory=set)
    _probing: asyncio.Task[None] | None = None
    _evalsha: bool = True
    _was_away: bool = False
    """Whether a store that had been reached was lost, rather than never connected to."""
    _answered: int = 0
    """The number of batches that the store has answered."""

    async def __aenter__(self) -> Self:
        """Start without waiting for the store, which may become available later."""
        self.breaker.failed(self.clock(), "starting", hopeless=True)
        self._probing = asyncio.create_task(self._probe())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Cancel all tasks and close all connections."""
        tasks = [*self._lanes, *filter(None, [self._probing])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.backend.close()

    @property
    def available(self) -> bool:
        """Whether calls are made: the breaker is closed."""
        return self.breaker.lets_through

    async def ready(self, seconds: float) -> bool:
        """Wait for the first connection, at most `seconds`. Return whether there is one."""
        if self._probing is not None:
            await asyncio.wait({self._probing}, timeout=seconds)
        return self.available

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()
    ) -> Any:
        """Run a script and return its answer.

        Raises `StoreUnavailable` on a timeout or while the breaker is open. After a timeout the
        script may have run nevertheless.
        """
        return await self._waited(self.send(script, keys, arguments))

    async def run_past_breaker(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], seconds: float
    ) -> Any:
        """Run a script even while the breaker is open.

        For rare calls that must succeed as soon as possible. Raises `StoreUnavailable`.
        """
        call = _Call(script, tuple(keys), tuple(arguments), asyncio.Future())
        await self.backend.connect()
        [answer] = await self.backend.run([call.command(whole=True)], seconds)
        if isinstance(answer, Exception):
            raise mapped(answer)
        return answer

    def send(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = ()
    ) -> asyncio.Future[Any]:
        """Send a script with the next batch; the future gets its answer, or `StoreUnavailable`.

        Raises `StoreUnavailable` while the breaker is open. A caller that awaits the future sets
        its own timeout; `run` does both.
        """
        if not self.available:
            raise StoreUnavailable(self.breaker.reason, hopeless=True)
        if len(self._queue) >= _LONGEST_QUEUE:
            raise StoreUnavailable("busy")
        answer = asyncio.get_running_loop().create_future()
        # Retrieve the exception even if the caller has been cancelled.
        answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._enqueue(_Call(script, tuple(keys), tuple(arguments), answer))
        return answer

    async def pipeline(self, commands: Sequence[Command], seconds: float) -> list[Any]:
        """Send plain commands in one write; an error reply is returned as an exception.

        Not batched with other calls. Raises `StoreUnavailable`; the commands may have run anyway.
        """
        if not self.available:
            raise StoreUnavailable(self.breaker.reason, hopeless=True)
        try:
            await self.backend.connect()
            answers = await self.backend.run(commands, seconds)
        except StoreUnavailable as error:
            self._failed(error)
            raise
        for answer in answers:
            if isinstance(answer, Exception) and mapped(answer).hopeless:
                self._failed(mapped(answer))
        return answers

    async def _waited(self, answer: asyncio.Future[Any]) -> Any:
        began = self.clock()
        result = "ok"
        try:
            async with deadline(self.timeout, lambda: self._answered):
                return await answer
        except TimeoutError:
            result = TIMEOUT
            self._failed(StoreUnavailable(TIMEOUT))
            raise StoreUnavailable(TIMEOUT) from None
        except StoreUnavailable as error:
            result = error.reason
            raise
        finally:
            self.observer.call(self.clock() - began, result)

    def _enqueue(self, call: _Call) -> None:
        self._queue.append(call)
        if len(self._lanes) < LANES:
            lane = asyncio.create_task(self._drain())
            self._lanes.add(lane)
            lane.add_done_callback(self._lanes.discard)

    async def _drain(self) -> None:
        """Send queued calls, batch after batch, until the queue is empty."""
        while self._queue:
            batch: list[_Call] = []
            try:
                await self.backend.connect()
                while self._queue and len(batch) < _BATCH:
                    call = self._queue.popleft()
                    # Skip calls whose caller has timed out or was cancelled.
                    if not call.answer.done():
                        batch.append(call)
                if batch:
                    await self._send(batch)
            except StoreUnavailable as error:
                self._failed(error)
                if not batch:
                    # The connection failed: that holds for all queued calls.
                    batch.extend(self._queue)
                    self._queue.clear()
                self._give_up(batch, error)
            except BaseException:
                self._give_up([*batch, *self._queue], StoreUnavailable("closed"))
                raise

    async def _send(self, batch: list[_Call]) -> None:
        whole = not self._evalsha
        commands = [call.command(whole=whole or call.resent) for call in batch]
        answers = await self.backend.run(commands, self.timeout)
        self._answered += 1
        failure: StoreUnavailable | None = None
        for call, answer in zip(batch, answers, strict=True):
            if not isinstance(answer, Exception):
                if not call.answer.done():
                    call.answer.set_result(answer)
            elif not call.resent and not whole and self._wants_whole(answer):
                call.resent = True
                self._queue.append(call)
            else:
                failure = mapped(answer)
                self._give_up([call], failure)
        if failure is None:
            self._succeeded()
        else:
            self._failed(failure)

    def _wants_whole(self, error: Exception) -> bool:
        """Whether the script's source must be sent: it is not loaded, or EVALSHA is forbidden."""
        if is_unknown_script(error):
            return True
        if is_forbidden_command(error):
            # Some hosted stores never allow EVALSHA: stop trying it.
            self._evalsha = False
            return True
        return False

    def _give_up(self, calls: Sequence[_Call], error: StoreUnavailable) -> None:
        for call in calls:
            if not call.answer.done():
                call.answer.set_exception(error)

    def _succeeded(self) -> None:
        if self.breaker.succeeded(self.clock()):
            _log.info("store_back" if self._was_away else "store_connected")
            self.observer.state(available=True)

    def _failed(self, error: StoreUnavailable) -> None:
        if self.breaker.failed(self.clock(), error.reason, hopeless=error.hopeless):
            self._was_away = True
            _log.warning("store_away", reason=error.reason)
            self.observer.state(available=False)
            self._probing = asyncio.create_task(self._probe())

    async def _probe(self) -> None:
        """Probe periodically until the store accepts a write."""
        while not self.available:
            try:
                await self.backend.forget()
                await self.backend.connect()
                call = _Call(_PROBE, (key_of("probe", "write"),), (), asyncio.Future())
                # Send the source: the store may have lost its loaded scripts.
                answer = (await self.backend.run([call.command(whole=True)], self.timeout))[0]
                if isinstance(answer, Exception):
                    raise mapped(answer)
                self._succeeded()
            except StoreUnavailable as error:
                self.breaker.reason = error.reason
                await asyncio.sleep(self.breaker.until_probe())
