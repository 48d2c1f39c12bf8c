"""Writes all logs of one worker: a pipeline every few milliseconds, a heartbeat, a look for orders.

Nobody who relays a token waits for any of it. While the store is away, batches wait in bounded
memory; if it stays away too long, or has forgotten, the log is lost and its stream an ordinary one.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import structlog

from proxy.state import script
from proxy.state.errors import FULL, TIMEOUT, UNREACHABLE, StoreUnavailable, reply
from proxy.state.log_doubts import AWAY, FORGOTTEN, IN_PART, LogDoubts
from proxy.state.log_entry import LOGS_AT_ONCE, heartbeat_of
from proxy.state.patience import deadline
from proxy.state.stream_log import StreamLog

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.state.log_account import LogAccount
    from proxy.state.log_burial import LogBurial
    from proxy.state.store import Argument, Store

_OPEN = script.load("log_open", "log")
_WRITE = script.load("log_write", "log")
_TEND = script.load("log_tend", "log")
_END = script.load("log_end", "log")
_DROP = script.load("log_drop", "log")
_BEAT = script.load("log_beat", "log")

FLUSH_SECONDS = 0.05
TEND_SECONDS = 0.4
HEARTBEAT_MILLISECONDS = 2000
_WRITE_SECONDS = 1.0
_CLOSE_SECONDS = 3.0
OVERTAKEN = "overtaken"
LOSSES = (TIMEOUT, UNREACHABLE, FULL, AWAY, FORGOTTEN, IN_PART, OVERTAKEN)
"""Why logs are lost as a rule; a store's rarer errors have words of their own."""
RUNNING_TTL_SECONDS = 60.0
"""The least time for which a log, and what it counts in the account, outlives its producer's last
word: longer than a store may be away from a log that goes on."""
_log = structlog.get_logger("resumable")


class LogWriter:
    """All running logs of a worker; a context manager."""

    def __init__(
        self,
        store: Store,
        account: LogAccount,
        burial: LogBurial,
        *,
        ttl_seconds: float,
        open_seconds: float,
        stream_bytes: int,
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
        self._account = account
        self._burial = burial
        self._dirty: dict[StreamLog, None] = {}
        self._doubts = LogDoubts(store, self)
        self._timer: asyncio.TimerHandle | None = None
        self._wake = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start writing."""
        self._tasks = [
            asyncio.create_task(self._flush_for_ever()),
            asyncio.create_task(self._beat_for_ever()),
            asyncio.create_task(self._tend_for_ever()),
            asyncio.create_task(self._burial.bury_given_up_for_ever()),
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
                    await self._beat(self._open_seconds)
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

    async def _beat(self, seconds: float) -> None:
        """Show that it is alive. Raises `StoreUnavailable`."""
        key = heartbeat_of(self.worker)
        await self._store.insist(_BEAT, (key,), (HEARTBEAT_MILLISECONDS,), seconds)

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
            await asyncio.gather(*map(self._write, self._groups(batches)))
        if ending := [log for log in sure if log.ending is not None]:
            await asyncio.gather(*map(self._end, ending))

    def _groups(self, logs: list[StreamLog]) -> list[list[StreamLog]]:
        """Logs that one script may name: in a cluster each lies where its key says."""
        if not self._store.backend.one_node:
            return [[log] for log in logs]
        return [logs[at : at + LOGS_AT_ONCE] for at in range(0, len(logs), LOGS_AT_ONCE)]

    async def _write(self, logs: list[StreamLog]) -> None:
        arguments = [word for log in logs for word in log.batch()]
        try:
            answers = await self._store.run(_WRITE, [log.keys[1] for log in logs], arguments)
        except StoreUnavailable:
            for log in logs:
                self._doubts.add(log)
            return
        for log, answer in zip(logs, answers, strict=True):
            if answer == 0:
                self.lose(log, FORGOTTEN)
            elif answer != 1:
                self._refused(log, answer.decode())
            elif not log.lost:
                log.unsent.popleft()
                if log.unsent:
                    self.changed(log)
        await self._send_commands(logs)

    async def _send_commands(self, logs: list[StreamLog]) -> None:
        commands = [command for log in logs for command in log.commands]
        for log in logs:
            log.commands.clear()
        if commands:
            with contextlib.suppress(StoreUnavailable):
                await self._store.pipeline(commands, _WRITE_SECONDS)

    def _refused(self, log: StreamLog, error: str) -> None:
        # Somebody took this producer for dead, and has ended the log.
        overtaken = "equal or smaller" in error
        self.lose(log, OVERTAKEN if overtaken else reply(error).reason)

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
            self._doubts.add(log)
            return
        if made < 0:
            self.lose(log, FORGOTTEN)
            return
        self._forget(log)
        self._account.ended(log, self._ttl)
        log.ended.set()

    async def _beat_for_ever(self) -> None:
        """By itself: whatever else takes long must not make this worker look dead."""
        while True:
            await asyncio.sleep(TEND_SECONDS)
            if self.running:
                with contextlib.suppress(StoreUnavailable):
                    await self._beat(_WRITE_SECONDS)

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEND_SECONDS)
            if self.running:
                self._tend()
            await self._doubts.settle()
            await self._account.report(list(self.running.values()), self._running_ttl)

    def _tend(self) -> None:
        for logs in self._groups(list(self.running.values())):
            arguments: list[Argument] = [self._running_ttl]
            for log in logs:
                fields = {**log.header, **(log.progress() if log.progress else {})}
                log.header = {}
                arguments.append(len(fields))
                arguments += [word for pair in fields.items() for word in pair]
            keys = [key for log in logs for key in log.keys]
            try:
                answer = self._store.send(_TEND, keys, arguments)
            except StoreUnavailable:
                return
            answer.add_done_callback(partial(self._tended, logs))

    def _tended(self, logs: list[StreamLog], done: asyncio.Future[Any]) -> None:
        if done.cancelled() or done.exception() is not None:
            return
        for log, (there, stop, readers) in zip(logs, done.result(), strict=True):
            if log.ended.is_set():
                continue
            if not there:
                self.lose(log, FORGOTTEN)
                continue
            if readers:
                log.last_read_at = time.monotonic()
            if stop and log.stopped is not None:
                stopped, log.stopped = log.stopped, None
                stopped()

    def lose(self, log: StreamLog, reason: str) -> None:
        """Give a log up, for a reason in a word: its stream is an ordinary one from here on."""
        if log.lost or log.ended.is_set():
            return
        self._forget(log)
        _log.warning("log_lost", stream_id=log.id, reason=reason)
        self._lost(reason)
        log.give_up(reason)
        if log.written is not None:
            # Whoever reads it in this very worker gets what waits, and an end that came before.
            self.changed(log)
        if reason not in {FORGOTTEN, OVERTAKEN}:
            self._burial.give_up(log.id)

    def _forget(self, log: StreamLog) -> None:
        self.running.pop(log.id, None)
        self._doubts.discard(log)
        self._dirty.pop(log, None)
