"""The public interface to the logs of resumable streams: create, look up, read, stop."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import (
    End,
    EntryId,
    entry_of,
    events_of,
    heartbeat_of,
    keys_of,
    pairs_of,
)
from proxy.state.log_followers import DEAD_AFTER_SECONDS, LEASE_SECONDS, LogFollowers
from proxy.state.log_orphans import LogOrphans
from proxy.state.log_quota import LogQuota
from proxy.state.log_reader import READ, LogReader
from proxy.state.log_writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.state.backend import Backend
    from proxy.state.log_orphans import MakeEnd
    from proxy.state.store import Argument, Store

_LOOK = script.load("log_look", "log")
_LEAVE = script.load("log_leave", "log")
_STOP = script.load("log_stop", "log")

_WHOLE_AT_ONCE = 64


class TooManyReaders(Exception):
    """The log has reached its maximum of readers."""


@dataclass(frozen=True, slots=True)
class LogState:
    """A log's state in the store."""

    id: str
    header: Mapping[str, str]
    first: int
    """The number of the first event that is kept; the last event's plus one if none is."""
    last: EntryId
    """The id of the last entry."""
    readers: int = 0
    oldest: bytes = b""
    """The first event that is kept; empty if none is."""

    @property
    def end(self) -> End | None:
        """How the stream ended, if it has."""
        ended = self.header.get("ended")
        return None if ended is None else End.decoded(ended)

    @property
    def events(self) -> int:
        """The number of events so far, dropped ones included."""
        return self.last.event


class StreamLogs:
    """A worker's access to all logs; a context manager."""

    def __init__(  # noqa: PLR0913 one per setting
        self,
        store: Store,
        blocking: Backend,
        *,
        ttl_seconds: float,
        open_seconds: float,
        stream_bytes: int,
        total_bytes: int,
        readers_per_stream: int,
        lost: Callable[[str], None] = lambda _reason: None,
        make_end: MakeEnd,
    ) -> None:
        """Take `make_end` to build the end of an orphaned log."""
        self.store = store
        quota = LogQuota(store, total_bytes)
        self.orphans = LogOrphans(store, round(ttl_seconds * 1000), make_end, quota)
        self.writer = LogWriter(
            store,
            quota,
            self.orphans,
            ttl_seconds=ttl_seconds,
            open_seconds=open_seconds,
            stream_bytes=stream_bytes,
            lost=lost,
        )
        self.followers = LogFollowers(store, blocking, self.writer, self.orphans)
        self._readers_per_stream = readers_per_stream
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start following and writing."""
        await self._stack.enter_async_context(self.followers)
        await self._stack.enter_async_context(self.writer)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write ended logs, and stop."""
        await self._stack.aclose()

    async def look(self, stream_id: str, owner: str) -> LogState | None:
        """Look a log up; None if this owner has none of that id.

        Raises `StoreUnavailable`.
        """
        return _state(stream_id, await self.store.run(_LOOK, keys_of(stream_id), [owner, "", 0, 0]))

    async def exists(self, stream_id: str) -> bool:
        """Whether there is a log of that id, whoever owns it. Raises `StoreUnavailable`."""
        command = ("EXISTS", keys_of(stream_id)[0])
        [count] = await self.store.pipeline([command], self.store.timeout)
        return bool(count == 1)

    async def read(
        self, stream_id: str, owner: str, cursor: int
    ) -> tuple[LogState, LogReader] | None:
        """Open a reader at a cursor, and return the log's state with it; close it with `leave`.

        None if this owner has no log of that id. Raises `TooManyReaders` and `StoreUnavailable`.
        """
        lease = secrets.token_hex(8)
        arguments: list[Argument] = [
            owner,
            lease,
            round(LEASE_SECONDS * 1000),
            self._readers_per_stream,
        ]
        state = _state(stream_id, await self.store.run(_LOOK, keys_of(stream_id), arguments))
        if state is None:
            return None
        self.followers.expect(stream_id, state.header.get("producer", ""))
        return state, LogReader(self.store, self.followers, stream_id, cursor, lease)

    def leave(self, reader: LogReader) -> None:
        """Close a reader and give up its lease."""
        reader.close()
        if log := self.writer.running.get(reader.stream_id):
            log.last_read_at = time.monotonic()
        try:
            _ = self.store.send(_LEAVE, keys_of(reader.stream_id), [reader.lease])
        except StoreUnavailable:
            return  # The lease expires by itself.

    async def whole(self, state: LogState) -> list[bytes]:
        """Read all events that are kept. Raises `StoreUnavailable`."""
        events: list[bytes] = []
        position = EntryId(0)
        while True:
            entries = await self.store.run(READ, keys_of(state.id), [str(position), _WHOLE_AT_ONCE])
            if not entries:
                return events
            for raw in entries:
                entry = entry_of(raw)
                position = entry.id
                events += events_of(entry)

    async def stop(self, stream_id: str, owner: str) -> bool:
        """Ask the producer, on whichever worker, to stop; False if this owner has no such log.

        Raises `StoreUnavailable`.
        """
        answer = await self.store.run(_STOP, keys_of(stream_id), [owner])
        log = self.writer.running.get(stream_id)
        if answer == 1 and log is not None and log.stopped is not None:
            stopped, log.stopped = log.stopped, None
            stopped()
        return bool(answer >= 0)

    async def is_dead(self, state: LogState) -> bool:
        """Whether the producer died without ending the log. Raises `StoreUnavailable`."""
        if state.end is not None or state.id in self.writer.running:
            return False
        command = ("EXISTS", heartbeat_of(state.header.get("producer", "")))
        for confirming in (False, True):
            [alive] = await self.store.pipeline([command], self.store.timeout)
            if alive != 0:
                return False
            if not confirming:
                await asyncio.sleep(DEAD_AFTER_SECONDS)
        return True


def _state(stream_id: str, raw: Any) -> LogState | None:
    if not raw:
        return None
    if raw[0] == b"full":
        raise TooManyReaders
    header = pairs_of(raw[1])
    entries = [entry_of(entry) for entry in raw[2]]
    last = entry_of(raw[3][0]).id if raw[3] else EntryId(0, 1)
    # The first entry of a log holds no event.
    oldest = next((entry for entry in entries if entry.lengths), None)
    if oldest is None:
        return LogState(stream_id, header, last.event + 1, last, raw[4])
    event = oldest.data[: oldest.lengths[0]]
    return LogState(stream_id, header, oldest.first, last, raw[4], event)
