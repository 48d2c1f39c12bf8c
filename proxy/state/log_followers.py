"""The logs that this worker's readers follow live, with one blocking read for all remote ones.

A log that is produced in the same worker is delivered directly, without the store. A producer whose
heartbeat has stopped is considered dead, and this worker ends its logs.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import entry_of, heartbeat_of, inbox_of, keys_of, script_groups
from proxy.state.log_reader import ENTRIES_AT_ONCE, MAX_OUTAGE_SECONDS, READ, LogGone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.state.backend import Backend
    from proxy.state.log_entry import Entry, EntryId
    from proxy.state.log_orphans import LogOrphans
    from proxy.state.log_reader import LogReader
    from proxy.state.log_writer import LogWriter
    from proxy.state.produced_log import ProducedLog
    from proxy.state.store import Argument, Store

_LEASE = script.load("log_lease", "log")
_WAKE = script.load("log_wake", "log")

LEASE_SECONDS = 5.0
CHECK_SECONDS = 0.3
DEAD_AFTER_SECONDS = 0.8
"""How long a heartbeat must be missing, while the store answers, before a producer is dead."""
_BLOCK_SECONDS = 1.0
_POLL_SECONDS = 0.04
"""Interval for a cluster, where one blocking read cannot span several nodes."""
_RETRY_SECONDS = 0.1
_WAKE_TTL_MILLISECONDS = 60_000


class Followed:
    """One log that has readers in this worker."""

    def __init__(self, stream_id: str, position: EntryId, log: ProducedLog | None) -> None:
        self.id = stream_id
        self.position = position
        self.log = log
        """The producer's side of the log, if it is produced in this worker."""
        self.readers: set[LogReader] = set()

    def deliver(self, entry: Entry) -> None:
        """Offer an entry to every reader."""
        before, self.position = self.position, max(self.position, entry.id)
        for reader in list(self.readers):
            reader.offer(entry, before)


class LogFollowers:
    """All followed logs of a worker; a context manager."""

    def __init__(
        self,
        store: Store,
        blocking: Backend,
        writer: LogWriter,
        orphans: LogOrphans,
    ) -> None:
        self._store = store
        self._blocking = blocking
        self._writer = writer
        self._orphans = orphans
        self._followed: dict[str, Followed] = {}
        self._producers: dict[str, str] = {}
        self._inbox = inbox_of(writer.worker)
        self._inbox_position = b"0-0"
        self._missing_since: dict[str, float] = {}
        """By producer: since when its heartbeat has been missing while the store answered."""
        self._away_since: float | None = None
        """Since when the store has not answered."""
        self._has_followed = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start the read and check tasks."""
        read = self._block_forever() if self._blocking.one_node else self._poll_forever()
        self._tasks = [asyncio.create_task(read), asyncio.create_task(self._check_forever())]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop the tasks and close the connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._blocking.close()

    @property
    def readers(self) -> int:
        """The number of live readers in this worker."""
        return sum(len(followed.readers) for followed in self._followed.values())

    def expect(self, stream_id: str, producer: str) -> None:
        """Remember the producer of a log that is about to be followed."""
        self._producers[stream_id] = producer

    def join(self, reader: LogReader) -> Followed:
        """Deliver new entries of the log to this reader from now on."""
        followed = self._followed.get(reader.stream_id)
        if followed is None:
            followed = self._follow(reader)
        followed.readers.add(reader)
        return followed

    def leave(self, reader: LogReader) -> None:
        """Stop delivering to this reader."""
        followed = self._followed.get(reader.stream_id)
        if followed is None:
            return
        followed.readers.discard(reader)
        if not followed.readers:
            del self._followed[reader.stream_id]
            self._producers.pop(reader.stream_id, None)
            if followed.log is not None:
                followed.log.written = None

    def _follow(self, reader: LogReader) -> Followed:
        log = self._writer.running.get(reader.stream_id)
        position = reader.tail if log is None else log.position
        followed = Followed(reader.stream_id, position, log)
        self._followed[reader.stream_id] = followed
        if log is not None:
            log.written = followed.deliver
        else:
            self._wake()
        return followed

    def _wake(self) -> None:
        """Restart the blocking read so that it includes a new log."""
        self._has_followed.set()
        if self._blocking.one_node:
            try:
                _ = self._store.send(_WAKE, (self._inbox,), (_WAKE_TTL_MILLISECONDS,))
            except StoreUnavailable:
                return  # Losing a wake-up costs one second at most: the read times out.

    def _remote(self) -> list[Followed]:
        return [followed for followed in self._followed.values() if followed.log is None]

    async def _block_forever(self) -> None:
        while True:
            followed = {keys_of(log.id)[1].encode(): log for log in self._remote()}
            if not followed:
                self._has_followed.clear()
                await self._has_followed.wait()
                continue
            try:
                await self._blocking.connect()
                answers = await self._blocking.run([self._read(followed)], _BLOCK_SECONDS + 2)
            except StoreUnavailable:
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            if isinstance(answers[0], Exception):
                await asyncio.sleep(_RETRY_SECONDS)
                continue
            for key, entries in answers[0] or ():
                if key in followed:
                    for raw in entries:
                        followed[key].deliver(entry_of(raw))
                else:
                    self._inbox_position = entries[-1][0]

    def _read(self, followed: dict[bytes, Followed]) -> tuple[str | bytes | int, ...]:
        positions = [str(log.position) for log in followed.values()]
        command = ("XREAD", "COUNT", ENTRIES_AT_ONCE, "BLOCK", round(_BLOCK_SECONDS * 1000))
        return (*command, "STREAMS", self._inbox, *followed, self._inbox_position, *positions)

    async def _poll_forever(self) -> None:
        while True:
            followed = self._remote()
            if not followed:
                self._has_followed.clear()
                await self._has_followed.wait()
            await asyncio.gather(*map(self._poll, followed))
            await asyncio.sleep(_POLL_SECONDS)

    async def _poll(self, followed: Followed) -> None:
        arguments: list[Argument] = [str(followed.position), ENTRIES_AT_ONCE]
        try:
            entries = await self._store.run(READ, keys_of(followed.id), arguments)
        except StoreUnavailable:
            return
        for raw in entries:
            followed.deliver(entry_of(raw))

    async def _check_forever(self) -> None:
        renewed_at = 0.0
        while True:
            await asyncio.sleep(CHECK_SECONDS)
            if not self._followed:
                continue
            self._switch_to_store()
            try:
                await self._end_orphaned_logs()
                if time.monotonic() - renewed_at >= LEASE_SECONDS / 3:
                    renewed_at = time.monotonic()
                    await asyncio.gather(*map(self._renew, self._groups()))
                self._away_since = None
            except StoreUnavailable as error:
                self._store_away(error)

    def _switch_to_store(self) -> None:
        """Read logs that are no longer produced in this worker from the store."""
        for followed in self._followed.values():
            if followed.log is not None and followed.log.ended.is_set() and not followed.log.lost:
                followed.log = None
                self._wake()

    def _groups(self) -> list[Sequence[Followed]]:
        followed = list(self._followed.values())
        return script_groups(followed, one_node=self._store.backend.one_node)

    async def _renew(self, logs: Sequence[Followed]) -> None:
        keys = [key for followed in logs for key in keys_of(followed.id)]
        arguments: list[Argument] = [round(LEASE_SECONDS * 1000)]
        for followed in logs:
            leases = [reader.lease for reader in followed.readers]
            arguments += [len(leases), *leases]
        for followed, exists in zip(
            logs, await self._store.run(_LEASE, keys, arguments), strict=True
        ):
            # A log that is produced in this worker is still readable; its writer notices the loss.
            if not exists and followed.log is None:
                self._fail_readers(followed, LogGone())

    async def _end_orphaned_logs(self) -> None:
        """Check the heartbeat of each producer once, and end all logs of dead ones."""
        by_producer: dict[str, list[str]] = {}
        for followed in self._remote():
            if producer := self._producers.get(followed.id):
                by_producer.setdefault(producer, []).append(followed.id)
        self._missing_since = {
            producer: since
            for producer, since in self._missing_since.items()
            if producer in by_producer
        }
        if not by_producer:
            return
        alive = await self._store.pipeline(
            [("EXISTS", heartbeat_of(producer)) for producer in by_producer], self._store.timeout
        )
        now = time.monotonic()
        for producer, exists in zip(by_producer, alive, strict=True):
            if exists != 0:
                self._missing_since.pop(producer, None)
            elif now - self._missing_since.setdefault(producer, now) >= DEAD_AFTER_SECONDS:
                await asyncio.gather(*map(self._orphans.end, by_producer[producer]))

    def _store_away(self, error: StoreUnavailable) -> None:
        """Let readers wait for an unavailable store for `MAX_OUTAGE_SECONDS`, then fail them."""
        now = time.monotonic()
        self._missing_since.clear()
        self._away_since = self._away_since or now
        if now - self._away_since >= MAX_OUTAGE_SECONDS:
            for followed in self._remote():
                self._fail_readers(followed, error)

    def _fail_readers(self, followed: Followed, error: Exception) -> None:
        for reader in list(followed.readers):
            reader.fail(error)
