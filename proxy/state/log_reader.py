"""A reader of one log: it returns every event after its cursor once, then the end."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import End, Entry, EntryId, entry_of, keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.state.store import Store

READ = script.load("log_read", "log")
ENTRIES_AT_ONCE = 32
_QUEUED_BYTES = 128 * 1024
_RETRY_SECONDS = 0.05
MAX_OUTAGE_SECONDS = 6.0
"""How long a reader waits for an unavailable store."""


class LogTrimmed(Exception):
    """The events right after the cursor were dropped from the log."""


class LogGone(Exception):
    """The log has expired, or the store has lost it."""


@dataclass(frozen=True, slots=True)
class Events:
    """Consecutive events, or the end."""

    first: int
    """The number of the first event."""
    events: Sequence[bytes] = ()
    end: End | None = None
    tail: bytes = b""


class Live(Protocol):
    """The source of new entries for a reader that has caught up."""

    @property
    def position(self) -> EntryId:
        """The id of the last entry that was delivered."""


class Followers(Protocol):
    """The registry of followed logs."""

    def join(self, reader: LogReader) -> Live:
        """Deliver new entries to this reader from now on."""

    def leave(self, reader: LogReader) -> None:
        """Stop delivering to this reader."""


class LogReader:
    """Reads from a cursor on: first from the store, then live entries."""

    def __init__(
        self, store: Store, followers: Followers, stream_id: str, cursor: int, lease: str
    ) -> None:
        self.stream_id = stream_id
        self.lease = lease
        """The id of this reader's lease in the log's set of readers."""
        self.seen = cursor
        """The number of the last event that `next` has returned."""
        self.tail = EntryId(cursor)
        """The id of the last entry that was queued."""
        self._store = store
        self._followers = followers
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._wakeup = asyncio.Event()
        self._live: Live | None = None
        self._error: Exception | None = None

    async def next(self, seconds: float) -> Events | None:
        """Return the next events or the end; None if nothing arrives within `seconds`.

        Raises `LogTrimmed`, `LogGone`, and `StoreUnavailable` if the store stays unavailable.
        """
        loop = asyncio.get_running_loop()
        until, give_up_at = loop.time() + seconds, loop.time() + MAX_OUTAGE_SECONDS
        while True:
            while self._queue:
                if (events := self._consume(self._queue.popleft())) is not None:
                    return events
            if self._error is not None:
                raise self._error
            if self._live is not None and self.tail >= self._live.position:
                if not await self._wait(until - loop.time()):
                    return None
            elif not await self._pull(give_up_at):
                if self._live is None:
                    self._live = self._followers.join(self)
                elif loop.time() >= until:
                    return None
                else:
                    # The entry was delivered live in this worker; the store does not have it yet.
                    await asyncio.sleep(_RETRY_SECONDS)

    def offer(self, entry: Entry, after: EntryId) -> None:
        """Queue an entry that follows `after`, if this reader is at `after` and its queue has room.

        Otherwise the reader fetches the entry from the store later.
        """
        if self.tail >= entry.id:
            return
        if self.tail >= after and self._queued_bytes < _QUEUED_BYTES:
            self._put(entry)
        self._wakeup.set()

    def fail(self, error: Exception) -> None:
        """Make `next` raise `error`: the log is gone, or the store is unavailable."""
        self._error = error
        self._wakeup.set()

    def close(self) -> None:
        """Stop following the log."""
        self._followers.leave(self)

    def _put(self, entry: Entry) -> None:
        self._queue.append(entry)
        self._queued_bytes += len(entry.data)
        self.tail = entry.id

    async def _wait(self, seconds: float) -> bool:
        self._wakeup.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._wakeup.wait()
        except TimeoutError:
            return False
        return True

    async def _pull(self, give_up_at: float) -> bool:
        """Queue the next entries from the store. Return whether there were any."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                entries = await self._read()
                break
            except StoreUnavailable:
                if loop.time() >= give_up_at:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
        for raw in entries:
            self._put(entry_of(raw))
        return bool(entries)

    async def _read(self) -> Sequence[Any]:
        entries: Sequence[Any] = await self._store.run(
            READ, keys_of(self.stream_id), [str(self.tail), ENTRIES_AT_ONCE]
        )
        return entries

    def _consume(self, entry: Entry) -> Events | None:
        self._queued_bytes -= len(entry.data)
        if entry.end is not None:
            return Events(self.seen + 1, (), entry.end, entry.tail)
        if not entry.lengths or entry.id.event <= self.seen:
            return None
        if entry.first > self.seen + 1:
            raise LogTrimmed
        skipped = self.seen + 1 - entry.first
        offset = sum(entry.lengths[:skipped])
        events = []
        for length in entry.lengths[skipped:]:
            events.append(entry.data[offset : offset + length])
            offset += length
        first, self.seen = self.seen + 1, entry.id.event
        return Events(first, events)
