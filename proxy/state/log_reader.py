"""One reader of a log: from its cursor on, every event once, then the end."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from proxy.state import script
from proxy.state.errors import StoreUnavailable
from proxy.state.log_entry import End, Entry, EntryId, entry_of, keys_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.state.store import Store

READ = script.load("log_read", "log")
ENTRIES_AT_ONCE = 32
_QUEUED_BYTES = 128 * 1024
_RETRY_SECONDS = 0.05
PATIENCE_SECONDS = 6.0
"""A reader waits so long for a store that is away."""


class LogTrimmed(Exception):
    """The events after the cursor have been dropped from the log."""


class LogGone(Exception):
    """The log has expired, or the store has lost it."""


@dataclass(frozen=True, slots=True)
class Events:
    """What a reader is given: events in order, and after the last ones the end."""

    first: int
    """The number of the first event."""
    events: Sequence[bytes] = ()
    end: End | None = None
    tail: bytes = b""


class Live(Protocol):
    """What hands a reader that has caught up what comes."""

    @property
    def position(self) -> EntryId:
        """The last entry that was handed out."""


class Followers(Protocol):
    """Whoever follows logs as they grow."""

    def join(self, reader: LogReader) -> Live:
        """Hand this reader what comes from now on."""

    def leave(self, reader: LogReader) -> None:
        """No more."""


class LogReader:
    """Reads from a cursor: first from the store, then what is handed to it live."""

    def __init__(
        self, store: Store, followers: Followers, stream_id: str, cursor: int, lease: str
    ) -> None:
        self.stream_id = stream_id
        self.lease = lease
        """The name under which the producer knows that somebody reads."""
        self.seen = cursor
        """The number of the last event that it has had."""
        self.tail = EntryId(cursor)
        """The last entry that it has been given."""
        self._store = store
        self._followers = followers
        self._queue: deque[Entry] = deque()
        self._queued_bytes = 0
        self._news = asyncio.Event()
        self._live: Live | None = None
        self._gone: Exception | None = None

    async def next(self, seconds: float) -> Events | None:
        """The next events or the end; None if nothing came for so long.

        Raises `LogTrimmed`, `LogGone`, and `StoreUnavailable` where the store stays away.
        """
        loop = asyncio.get_running_loop()
        until, patience = loop.time() + seconds, loop.time() + PATIENCE_SECONDS
        while True:
            while self._queue:
                if (found := self._consume(self._queue.popleft())) is not None:
                    return found
            if self._gone is not None:
                raise self._gone
            if self._live is not None and self.tail >= self._live.position:
                if not await self._wait(until - loop.time()):
                    return None
            elif not await self._pull(patience):
                if self._live is None:
                    self._live = self._followers.join(self)
                elif loop.time() >= until:
                    return None
                else:
                    # It was handed out here, and the store has not taken it yet.
                    await asyncio.sleep(_RETRY_SECONDS)

    def offer(self, entry: Entry, after: EntryId) -> None:
        """An entry that follows `after`; taken if this reader is there and has room.

        What it cannot take now it reads from the store later.
        """
        if self.tail >= entry.id:
            return
        if self.tail >= after and self._queued_bytes < _QUEUED_BYTES:
            self._put(entry)
        self._news.set()

    def lose(self, why: Exception) -> None:
        """There is no such log any more, or no store: `next` raises it."""
        self._gone = why
        self._news.set()

    def close(self) -> None:
        """It reads no more."""
        self._followers.leave(self)

    def _put(self, entry: Entry) -> None:
        self._queue.append(entry)
        self._queued_bytes += len(entry.data)
        self.tail = entry.id

    async def _wait(self, seconds: float) -> bool:
        self._news.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._news.wait()
        except TimeoutError:
            return False
        return True

    async def _pull(self, patience: float) -> bool:
        """Read on in the store; whether there was anything."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                found = await self._read()
                break
            except StoreUnavailable:
                if loop.time() >= patience:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
        for raw in found:
            self._put(entry_of(raw))
        return bool(found)

    async def _read(self) -> Sequence[Any]:
        found: Sequence[Any] = await self._store.run(
            READ, keys_of(self.stream_id), [str(self.tail), ENTRIES_AT_ONCE]
        )
        return found

    def _consume(self, entry: Entry) -> Events | None:
        self._queued_bytes -= len(entry.data)
        if entry.end is not None:
            return Events(self.seen + 1, (), entry.end, entry.tail)
        if not entry.lengths or entry.id.event <= self.seen:
            return None
        if entry.first > self.seen + 1:
            raise LogTrimmed
        skipped = self.seen + 1 - entry.first
        at = sum(entry.lengths[:skipped])
        events = []
        for length in entry.lengths[skipped:]:
            events.append(entry.data[at : at + length])
            at += length
        first, self.seen = self.seen + 1, entry.id.event
        return Events(first, events)
