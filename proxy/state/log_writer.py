"""Writes all logs of one worker: a pipeline every few milliseconds, a heartbeat, a look for orders.

Nobody who relays a token waits for any of it. While the store is away, batches wait in bounded
memory; if it stays away too long, or has forgotten, the log is lost and its stream an ordinary one.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import structlog

from proxy.state import script
from proxy.state.errors import TIMEOUT, StoreUnavailable, is_reply, mapped
from proxy.state.log_account import LogAccount
from proxy.state.log_entry import heartbeat_of, id_of
from proxy.state.patience import deadline
from proxy.state.stream_log import StreamLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.state.store import Argument, Store

_OPEN = script.load("log_open", "log")
_TEND = script.load("log_tend", "log")
_END = script.load("log_end", "log")
_DROP = script.load("log_drop", "log")
_LAST = script.load("log_last", "log")

FLUSH_SECONDS = 0.035
TEND_SECONDS = 0.4
HEARTBEAT_MILLISECONDS = 2000
_WRITE_SECONDS = 1.0
_PATIENCE_SECONDS = 10.0
"""For so long batches wait for a store that is away."""
_CLOSE_SECONDS = 3.0
RUNNING_TTL_SECONDS = 3600.0
"""A log whose producer has died, and that nobody has read since, is gone after so long at most."""
_log = structlog.get_logger("resumable")


class LogWriter:
    """All running logs of a worker; a context manager."""

    def __init__(
        self,
        store: Store,
        *,
        ttl_seconds: float,
        open_seconds: float,
        stream_bytes: int,
        total_bytes: int,
        lost: Callable[[str], None] = lambda _reason: None,
    ) -> None:
        self.worker = secrets.token_hex(8)
        """Names this producer; a worker that comes after a crash is another one."""
        self.running: dict[str, StreamLog] = {}
        self._store = store
        self._open_seconds = open_seconds
        self._ttl = round(ttl_seconds * 1000)
        self._stream_bytes = stream_bytes
        self._lost = lost
        self._account = LogAccount(store, total_bytes)
        self._dirty: dict[StreamLog, None] = {}
        self._doubtful: dict[StreamLog, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start writing."""
        self._tasks = [
            asyncio.create_task(self._flush_for_ever()),
            asyncio.create_task(self._tend_for_ever()),
        ]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what there is, for a short time at most, and stop."""
        await self.flushed(_CLOSE_SECONDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def open(self, header: Mapping[str, str | bytes]) -> StreamLog:
        """Begin a log. Raises `StoreUnavailable` where none can be had."""
        log = StreamLog(self, secrets.token_hex(16), self._stream_bytes)
        fields = {**header, "producer": self.worker}
        flat = [word for pair in fields.items() for word in pair]
        try:
            async with deadline(self._open_seconds):
                if not self.running:
                    # Before the first reader can look for it.
                    await self._store.pipeline([self._heartbeat()], self._open_seconds)
                made = await self._store.run(_OPEN, log.keys, [self._running_ttl, *flat])
        except TimeoutError:
            raise StoreUnavailable(TIMEOUT) from None
        if made != 1:
            raise StoreUnavailable("id taken")
        self.running[log.id] = log
        return log

    def drop(self, log: StreamLog) -> None:
        """Take back a log of which nobody has heard."""
        self._forget(log)
        log.ended.set()
        try:
            _ = self._store.send(_DROP, log.keys)
        except StoreUnavailable:
            return

    def changed(self, log: StreamLog) -> None:
        """Write this log with the next pipeline."""
        self._dirty[log] = None
        if not log.position.event:
            # The first events tell by which name the stream can be found: they are not kept back.
            self._wake.set()
        elif self._timer is None:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(FLUSH_SECONDS, self._due)

    async def flushed(self, seconds: float) -> None:
        """Wait until all that has ended has been written, at most so long."""
        ending = [log.ended.wait() for log in self.running.values() if log.ending is not None]
        if ending:
            tasks = [asyncio.ensure_future(one) for one in ending]
            _, late = await asyncio.wait(tasks, timeout=seconds)
            for task in late:
                task.cancel()

    @property
    def _running_ttl(self) -> int:
        return max(self._ttl, round(RUNNING_TTL_SECONDS * 1000))

    def _due(self) -> None:
        self._timer = None
        self._wake.set()

    def _heartbeat(self) -> tuple[str | int, ...]:
        return ("SET", heartbeat_of(self.worker), "1", "PX", HEARTBEAT_MILLISECONDS)

    async def _flush_for_ever(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._flush()

    async def _flush(self) -> None:
        logs, self._dirty = self._dirty, {}
        for log in logs:
            log.take()
            if log.lost:
                # Whoever reads it in this very worker loses nothing by it.
                log.unsent.clear()
                log.take_end()
        sure = [log for log in logs if log.doubtful_since is None and not log.lost]
        if batches := [log for log in sure if log.unsent]:
            await self._write(batches)
        if ending := [log for log in sure if log.ending is not None]:
            await asyncio.gather(*map(self._end, ending))

    async def _write(self, logs: list[StreamLog]) -> None:
        more = [command for log in logs for command in log.commands]
        for log in logs:
            log.commands.clear()
        batches = [log.command() for log in logs]
        try:
            answers = await self._store.pipeline([*batches, *more], _WRITE_SECONDS)
        except StoreUnavailable:
            for log in logs:
                self._doubt(log)
            return
        for log, answer in zip(logs, answers, strict=False):
            if answer is None:
                self._lose(log, "forgotten")
            elif isinstance(answer, Exception):
                self._refused(log, answer)
            elif not log.lost:
                log.unsent.popleft()
                if log.unsent:
                    self.changed(log)

    def _doubt(self, log: StreamLog) -> None:
        log.doubtful_since = log.doubtful_since or time.monotonic()
        self._doubtful[log] = None

    def _refused(self, log: StreamLog, error: Exception) -> None:
        if is_reply(error) and "equal or smaller" in str(error):
            # Somebody took this producer for dead, and has ended the log.
            self._lose(log, "overtaken")
        else:
            self._lose(log, mapped(error).reason)

    async def _end(self, log: StreamLog) -> None:
        if log.lost or log.doubtful_since is not None:
            return
        entry = log.take_end()
        if entry is None or entry.end is None:
            self.changed(log)
            return
        arguments: list[Argument] = [self._ttl, str(entry.id), entry.end.encoded(), entry.tail, ""]
        try:
            made = await self._store.run(_END, log.keys, arguments)
        except StoreUnavailable:
            self._doubt(log)
            return
        if made < 0:
            self._lose(log, "forgotten")
            return
        self._forget(log)
        self._account.ended(log, self._ttl)
        log.ended.set()

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEND_SECONDS)
            if self.running:
                await self._beat()
                self._tend()
            await self._settle_doubts()
            await self._account.report(list(self.running.values()), self._running_ttl)

    async def _beat(self) -> None:
        try:
            await self._store.pipeline([self._heartbeat()], _WRITE_SECONDS)
        except StoreUnavailable:
            return

    def _tend(self) -> None:
        for log in list(self.running.values()):
            fields = {**log.header, **(log.progress() if log.progress else {})}
            log.header = {}
            arguments = [word for pair in fields.items() for word in pair]
            try:
                answer = self._store.send(_TEND, log.keys, [self._running_ttl, *arguments])
            except StoreUnavailable:
                return
            answer.add_done_callback(partial(self._tended, log))

    def _tended(self, log: StreamLog, done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None or log.ended.is_set():
            return
        there, stop, readers, _first = done.result()
        if not there:
            self._lose(log, "forgotten")
            return
        if readers:
            log.last_read_at = time.monotonic()
        if stop and log.stopped is not None:
            stopped, log.stopped = log.stopped, None
            stopped()

    async def _settle_doubts(self) -> None:
        """Find out what became of batches whose answer never came, and send them again."""
        for log in list(self._doubtful):
            since = log.doubtful_since
            if since is None or log.lost:
                self._doubtful.pop(log, None)
            elif time.monotonic() - since > _PATIENCE_SECONDS or log.too_large:
                self._lose(log, "store away")
            elif self._store.available:
                await self._settle(log)

    async def _settle(self, log: StreamLog) -> None:
        try:
            last = await self._store.run(_LAST, log.keys)
        except StoreUnavailable:
            return
        if not last:
            self._lose(log, "forgotten")
            return
        self._doubtful.pop(log, None)
        log.doubtful_since = None
        there = id_of(last[0][0])
        while log.unsent and log.unsent[0].id <= there:
            log.unsent.popleft()
        self.changed(log)

    def _lose(self, log: StreamLog, reason: str) -> None:
        if log.lost or log.ended.is_set():
            return
        self._forget(log)
        _log.warning("log_lost", stream_id=log.id, reason=reason)
        self._lost(reason)
        log.give_up(reason)

    def _forget(self, log: StreamLog) -> None:
        self.running.pop(log.id, None)
        self._doubtful.pop(log, None)
        self._dirty.pop(log, None)
