"""Writes all logs of one worker, sends its heartbeat, and picks up requests to stop a stream.

Logs are written in a batch every few milliseconds; relaying never waits for the store. While the
store is unavailable, batches are queued in bounded memory. If that lasts too long, or the store no
longer has the log, the log is lost and its stream continues without one.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import secrets
from typing import TYPE_CHECKING, Any, Self

import msgspec
import structlog

from proxy.state import script
from proxy.state.deadline import deadline
from proxy.state.error_map import FULL, TIMEOUT, UNREACHABLE, StoreUnavailable, reply
from proxy.state.log_entry import heartbeat_of, script_groups
from proxy.state.log_renewal import renew
from proxy.state.log_unconfirmed import AWAY, FORGOTTEN, IN_PART, UnconfirmedBatches
from proxy.state.produced_log import ProducedLog

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping, Sequence

    from proxy.state.backend import Command
    from proxy.state.log_orphans import LogOrphans
    from proxy.state.log_quota import LogQuota
    from proxy.state.store import Argument, Store

_OPEN = script.load("log_open", "log")
_WRITE = script.load("log_write", "log")
_END = script.load("log_end", "log")
_DROP = script.load("log_drop", "log")
_BEAT = script.load("log_beat", "log")

FLUSH_SECONDS = 0.05
BEAT_SECONDS = 0.4
RENEW_SECONDS = 0.5
_RENEWALS_PER_REPORT = 2
"""The growth of all logs is reported each second: a report costs the store more than a batch."""
HEARTBEAT_MILLISECONDS = 2000
_WRITE_SECONDS = 1.0
_CLOSE_SECONDS = 3.0
OVERTAKEN = "overtaken"
LOSSES = (TIMEOUT, UNREACHABLE, FULL, AWAY, FORGOTTEN, IN_PART, OVERTAKEN)
"""The usual reasons for a lost log; rarer errors of a store have reasons of their own."""
RUNNING_TTL_SECONDS = 60.0
"""The least TTL of a running log and of its share of the quota, renewed by the producer: longer
than the store may be unavailable without the log being lost."""
_log = structlog.get_logger("resumable")


class LogWriter:
    """Writes all running logs of a worker; a context manager."""

    def __init__(
        self,
        store: Store,
        quota: LogQuota,
        orphans: LogOrphans,
        *,
        ttl_seconds: float,
        open_seconds: float,
        stream_bytes: int,
        lost: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.worker = secrets.token_hex(8)
        """The id of this producer; a worker restarted after a crash has another."""
        self.running: dict[str, ProducedLog] = {}
        self._store = store
        self._open_seconds = open_seconds
        self._ttl = round(ttl_seconds * 1000)
        self._stream_bytes = stream_bytes
        self._lost = lost
        self._quota = quota
        self._orphans = orphans
        self._dirty: dict[ProducedLog, None] = {}
        self._unconfirmed = UnconfirmedBatches(store, self)
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start the write, heartbeat, maintenance and orphan tasks."""
        self._tasks = [
            asyncio.create_task(self._flush_forever()),
            asyncio.create_task(self._beat_forever()),
            asyncio.create_task(self._maintain_forever()),
            asyncio.create_task(self._orphans.end_abandoned_forever()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write ended logs, for a few seconds at most, and stop."""
        await self.flushed(_CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self, header: Mapping[str, str | bytes], seconds: float = 0.0) -> ProducedLog:
        """Create a log, waiting `open_seconds` for the store, or `seconds` if that is longer.

        Raises `StoreUnavailable`.
        """
        seconds = max(seconds, self._open_seconds)
        log = ProducedLog(self, secrets.token_hex(16), self._stream_bytes)
        fields = {**header, "producer": self.worker}
        flat = [word for pair in fields.items() for word in pair]
        try:
            async with deadline(seconds):
                if not self.running:
                    # Before the first reader can check for a heartbeat.
                    await self._beat(seconds)
                result = await self._store.run(_OPEN, log.keys, [self._running_ttl, *flat])
        except TimeoutError:
            raise StoreUnavailable(TIMEOUT) from None
        if result != 1:
            raise StoreUnavailable("id taken")
        self.running[log.id] = log
        return log

    def drop(self, log: ProducedLog) -> None:
        """Delete a log whose id was not given to any client."""
        self._forget(log)
        log.complete()
        try:
            _ = self._store.send(_DROP, log.keys)
        except StoreUnavailable:
            return

    def changed(self, log: ProducedLog) -> None:
        """Write this log with the next batch."""
        self._dirty[log] = None
        if not log.taken:
            # The first events carry the response id that the stream is found by: write them now.
            self._wake.set()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._due)

    async def flushed(self, seconds: float) -> None:
        """Wait until all ended logs are written, for at most `seconds`."""
        ending = [log.ended.wait() for log in self.running.values() if log.ending is not None]
        if ending:
            tasks = [asyncio.ensure_future(waiter) for waiter in ending]
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()

    @property
    def _running_ttl(self) -> int:
        return max(self._ttl, round(RUNNING_TTL_SECONDS * 1000))

    def _due(self) -> None:
        self._timer = None
        self._wake.set()

    async def _beat(self, seconds: float) -> None:
        """Renew this worker's heartbeat. Raises `StoreUnavailable`."""
        key = heartbeat_of(self.worker)
        await self._store.run_past_breaker(_BEAT, (key,), (HEARTBEAT_MILLISECONDS,), seconds)

    async def _flush_forever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._flush()

    async def _flush(self) -> None:
        logs, self._dirty = self._dirty, {}
        batches, ending = [], []
        for log in logs:
            log.take()
            if log.lost:
                # Readers in this worker still receive every entry.
                log.unsent.clear()
                log.take_end()
            elif log.unconfirmed_since is None:
                if log.unsent:
                    batches.append(log)
                if log.ending is not None:
                    ending.append(log)
        if batches:
            await _all([self._write(group) for group in self._groups(batches)])
        if ending:
            await _all([self._end(log) for log in ending])

    def _groups(self, logs: list[ProducedLog]) -> list[Sequence[ProducedLog]]:
        return script_groups(logs, one_node=self._store.backend.one_node)

    async def _write(self, logs: Sequence[ProducedLog]) -> None:
        batches = [log.unsent[0] for log in logs]
        # Two arguments for any number of logs: packing one costs as much as relaying a token.
        heads = [
            (last, log.drop_before(), lengths)
            for log, (last, lengths, _) in zip(logs, batches, strict=True)
        ]
        arguments = (msgspec.json.encode(heads), b"".join([batch[2] for batch in batches]))
        try:
            refused = await self._store.run(_WRITE, [log.keys[1] for log in logs], arguments)
        except StoreUnavailable:
            for log in logs:
                self._unconfirmed.add(log)
            return
        for number, error in refused:
            self._refused(logs[number - 1], error.decode())
        commands: list[Command] = []
        for log in logs:
            if log.lost:
                continue
            log.unsent.popleft()
            if log.unsent:
                self.changed(log)
            if log.commands:
                commands += log.commands
                log.commands.clear()
        if commands:
            with contextlib.suppress(StoreUnavailable):
                await self._store.pipeline(commands, _WRITE_SECONDS)

    def _refused(self, log: ProducedLog, error: str) -> None:
        if not error:
            self.lose(log, FORGOTTEN)
            return
        # "Equal or smaller": another worker considered this producer dead and ended the log.
        overtaken = "equal or smaller" in error
        self.lose(log, OVERTAKEN if overtaken else reply(error).reason)

    async def _end(self, log: ProducedLog) -> None:
        if log.lost or log.unconfirmed_since is not None:
            return
        entry = log.take_end()
        if entry is None or entry.end is None:
            self.changed(log)
            return
        arguments: list[Argument] = [self._ttl, str(entry.id), entry.end.encoded(), entry.tail, ""]
        arguments += ["", "", ""]
        # A short stream ends before its header is renewed for the first time.
        arguments += itertools.chain.from_iterable(log.header.items())
        try:
            result = await self._store.run(_END, log.keys, arguments)
        except StoreUnavailable:
            self._unconfirmed.add(log)
            return
        if result < 0:
            self.lose(log, FORGOTTEN)
            return
        self._forget(log)
        self._quota.ended(log, self._ttl)
        log.complete()

    async def _beat_forever(self) -> None:
        """Send heartbeats in a separate task: no slow call may make this worker look dead."""
        while True:
            await asyncio.sleep(BEAT_SECONDS)
            if self.running:
                with contextlib.suppress(StoreUnavailable):
                    await self._beat(_WRITE_SECONDS)

    async def _maintain_forever(self) -> None:
        for times in itertools.count(1):
            await asyncio.sleep(RENEW_SECONDS)
            if self.running:
                groups = self._groups(list(self.running.values()))
                renew(self._store, self, groups, self._running_ttl)
            await self._unconfirmed.settle()
            if times % _RENEWALS_PER_REPORT == 0:
                await self._quota.report(list(self.running.values()), self._running_ttl)

    def lose(self, log: ProducedLog, reason: str) -> None:
        """Give a log up for `reason`, one word; its stream continues without a log."""
        if log.lost or log.ended.is_set():
            return
        self._forget(log)
        _log.warning("log_lost", stream_id=log.id, reason=reason)
        self._lost(reason)
        log.give_up(reason)
        if log.written is not None:
            # Readers in this worker still get the pending events, and the end if it was set.
            self.changed(log)
        if reason not in {FORGOTTEN, OVERTAKEN}:
            self._orphans.abandon(log.id)

    def _forget(self, log: ProducedLog) -> None:
        self.running.pop(log.id, None)
        self._unconfirmed.discard(log)
        self._dirty.pop(log, None)


async def _all(calls: list[Coroutine[Any, Any, None]]) -> None:
    """Await all calls concurrently; a single one without a task of its own."""
    if len(calls) == 1:
        await calls[0]
    else:
        await asyncio.gather(*calls)
