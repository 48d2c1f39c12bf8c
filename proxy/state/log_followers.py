"""All live readers of one worker: one blocking read for every log that is produced elsewhere.

What a producer in the same worker makes is handed on at once, without the store. A producer whose
heartbeat has stopped is taken for dead, and its log gets its end from here.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Self

from proxy.state import script
from proxy.state.errors import StoreUnavailable
from proxy.state.log_entry import LOGS_AT_ONCE, entry_of, heartbeat_of, inbox_of, keys_of
from proxy.state.log_reader import ENTRIES_AT_ONCE, PATIENCE_SECONDS, READ, LogGone

if TYPE_CHECKING:
    from proxy.state.backend import Backend
    from proxy.state.log_burial import LogBurial
    from proxy.state.log_entry import Entry, EntryId
    from proxy.state.log_reader import LogReader
    from proxy.state.log_writer import LogWriter
    from proxy.state.store import Argument, Store
    from proxy.state.stream_log import StreamLog

_LEASE = script.load("log_lease", "log")
_WAKE = script.load("log_wake", "log")

LEASE_SECONDS = 5.0
LOOK_SECONDS = 0.3
DEAD_AFTER_SECONDS = 0.8
"""For so long a heartbeat must have been missing, with the store answering all the while."""
_BLOCK_SECONDS = 1.0
_POLL_SECONDS = 0.04
"""In a cluster, where one read cannot name keys of several nodes."""
_RETRY_SECONDS = 0.1
_WAKE_TTL_MILLISECONDS = 60_000


class Followed:
    """One log that is read here."""

    def __init__(self, stream_id: str, position: EntryId, log: StreamLog | None) -> None:
        self.id = stream_id
        self.position = position
        self.log = log
        """Where it is produced, if that is in this worker."""
        self.readers: set[LogReader] = set()

    def deliver(self, entry: Entry) -> None:
        """Hand an entry to every reader."""
        before, self.position = self.position, max(self.position, entry.id)
        for reader in list(self.readers):
            reader.offer(entry, before)


class LogFollowers:
    """A context manager; `burial` ends the logs of producers that have died."""

    def __init__(
        self,
        store: Store,
        blocking: Backend,
        writer: LogWriter,
        burial: LogBurial,
    ) -> None:
        self._store = store
        self._blocking = blocking
        self._writer = writer
        self._burial = burial
        self._followed: dict[str, Followed] = {}
        self._producers: dict[str, str] = {}
        self._inbox = inbox_of(writer.worker)
        self._inbox_at = b"0-0"
        self._missing: dict[str, float] = {}
        """Since when a producer's heartbeat has not been seen, with the store answering."""
        self._away_since: float | None = None
        """Since when the store has not answered."""
        self._some = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        """Start reading and looking."""
        read = self._block_for_ever() if self._blocking.one_node else self._poll_for_ever()
        self._tasks = [asyncio.create_task(read), asyncio.create_task(self._look_for_ever())]
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._blocking.close()

    @property
    def readers(self) -> int:
        """How many read here."""
        return sum(len(one.readers) for one in self._followed.values())

    def expect(self, stream_id: str, producer: str) -> None:
        """Say who produces a log that is about to be followed."""
        self._producers[stream_id] = producer

    def join(self, reader: LogReader) -> Followed:
        """Hand this reader what comes from now on."""
        followed = self._followed.get(reader.stream_id)
        if followed is None:
            followed = self._follow(reader)
        followed.readers.add(reader)
        return followed

    def leave(self, reader: LogReader) -> None:
        """No more."""
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
        """Have the blocking read begin anew, with one log more."""
        self._some.set()
        if self._blocking.one_node:
            try:
                _ = self._store.send(_WAKE, (self._inbox,), (_WAKE_TTL_MILLISECONDS,))
            except StoreUnavailable:
                return  # A wake-up that is lost costs a second: the read ends by itself.

    def _remote(self) -> list[Followed]:
        return [one for one in self._followed.values() if one.log is None]

    async def _block_for_ever(self) -> None:
        while True:
            followed = {keys_of(one.id)[1].encode(): one for one in self._remote()}
            if not followed:
                self._some.clear()
                await self._some.wait()
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
                    self._inbox_at = entries[-1][0]

    def _read(self, followed: dict[bytes, Followed]) -> tuple[str | bytes | int, ...]:
        positions = [str(one.position) for one in followed.values()]
        how = ("XREAD", "COUNT", ENTRIES_AT_ONCE, "BLOCK", round(_BLOCK_SECONDS * 1000))
        return (*how, "STREAMS", self._inbox, *followed, self._inbox_at, *positions)

    async def _poll_for_ever(self) -> None:
        while True:
            followed = self._remote()
            if not followed:
                self._some.clear()
                await self._some.wait()
            await asyncio.gather(*map(self._poll, followed))
            await asyncio.sleep(_POLL_SECONDS)

    async def _poll(self, followed: Followed) -> None:
        arguments: list[Argument] = [str(followed.position), ENTRIES_AT_ONCE]
        try:
            found = await self._store.run(READ, keys_of(followed.id), arguments)
        except StoreUnavailable:
            return
        for raw in found:
            followed.deliver(entry_of(raw))

    async def _look_for_ever(self) -> None:
        renewed_at = 0.0
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if not self._followed:
                continue
            self._hand_over()
            try:
                await self._look_for_the_dead()
                if time.monotonic() - renewed_at >= LEASE_SECONDS / 3:
                    renewed_at = time.monotonic()
                    await asyncio.gather(*map(self._renew, self._groups()))
                self._away_since = None
            except StoreUnavailable as error:
                self._away(error)

    def _hand_over(self) -> None:
        """What is not produced here any more is read from the store."""
        for one in self._followed.values():
            if one.log is not None and one.log.ended.is_set() and not one.log.lost:
                one.log = None
                self._wake()

    def _groups(self) -> list[list[Followed]]:
        """Logs that one script may name: in a cluster each lies where its key says."""
        size = LOGS_AT_ONCE if self._store.backend.one_node else 1
        followed = list(self._followed.values())
        return [followed[at : at + size] for at in range(0, len(followed), size)]

    async def _renew(self, logs: list[Followed]) -> None:
        keys = [key for followed in logs for key in keys_of(followed.id)]
        arguments: list[Argument] = [round(LEASE_SECONDS * 1000)]
        for followed in logs:
            leases = [reader.lease for reader in followed.readers]
            arguments += [len(leases), *leases]
        for followed, there in zip(
            logs, await self._store.run(_LEASE, keys, arguments), strict=True
        ):
            # One that is produced here is read on without the store, once its writer misses it.
            if not there and followed.log is None:
                self._lose(followed, LogGone())

    async def _look_for_the_dead(self) -> None:
        """One look at each producer; a heartbeat that stays away ends all its logs."""
        by_producer: dict[str, list[str]] = {}
        for followed in self._remote():
            if producer := self._producers.get(followed.id):
                by_producer.setdefault(producer, []).append(followed.id)
        self._missing = {one: at for one, at in self._missing.items() if one in by_producer}
        if not by_producer:
            return
        alive = await self._store.pipeline(
            [("EXISTS", heartbeat_of(producer)) for producer in by_producer], self._store.timeout
        )
        now = time.monotonic()
        for producer, beats in zip(by_producer, alive, strict=True):
            if beats != 0:
                self._missing.pop(producer, None)
            elif now - self._missing.setdefault(producer, now) >= DEAD_AFTER_SECONDS:
                await asyncio.gather(*map(self._burial.bury, by_producer[producer]))

    def _away(self, error: StoreUnavailable) -> None:
        """The store does not answer: whoever needs it to read on waits a while, not for ever."""
        now = time.monotonic()
        self._missing.clear()
        self._away_since = self._away_since or now
        if now - self._away_since >= PATIENCE_SECONDS:
            for followed in self._remote():
                self._lose(followed, error)

    def _lose(self, followed: Followed, why: Exception) -> None:
        for reader in list(followed.readers):
            reader.lose(why)
