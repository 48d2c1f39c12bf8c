"""The logs of resumable streams, as the rooms above see them: begun, looked at, read, stopped."""

from __future__ import annotations

import asyncio
import secrets
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

from proxy.state import script
from proxy.state.errors import StoreUnavailable
from proxy.state.log_account import LogAccount
from proxy.state.log_burial import LogBurial
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
from proxy.state.log_reader import READ, LogReader
from proxy.state.log_writer import LogWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.state.backend import Backend
    from proxy.state.log_burial import LastWords
    from proxy.state.store import Argument, Store

_LOOK = script.load("log_look", "log")
_LEAVE = script.load("log_leave", "log")
_STOP = script.load("log_stop", "log")

_WHOLE_AT_ONCE = 64


class TooManyReaders(Exception):
    """This log has as many readers as it may have."""


@dataclass(frozen=True, slots=True)
class LogState:
    """What the store says of a log."""

    id: str
    header: Mapping[str, str]
    first: int
    """The number of the first event that is kept; one more than there are if none is."""
    last: EntryId
    """The id of the last entry."""
    readers: int = 0

    @property
    def end(self) -> End | None:
        """How it ended, if it has."""
        ended = self.header.get("ended")
        return None if ended is None else End.decoded(ended)

    @property
    def events(self) -> int:
        """How many events it has had so far."""
        return self.last.event


class StreamLogs:
    """All that a worker does with logs; a context manager."""

    def __init__(  # noqa: PLR0913 what the settings say
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
        last_words: LastWords,
    ) -> None:
        """`last_words`: what a stream's log says at its end where its producer cannot say it."""
        self.store = store
        account = LogAccount(store, total_bytes)
        self.burial = LogBurial(store, round(ttl_seconds * 1000), last_words, account)
        self.writer = LogWriter(
            store,
            account,
            self.burial,
            ttl_seconds=ttl_seconds,
            open_seconds=open_seconds,
            stream_bytes=stream_bytes,
            lost=lost,
        )
        self.followers = LogFollowers(store, blocking, self.writer, self.burial)
        self._readers_per_stream = readers_per_stream
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start."""
        await self._stack.enter_async_context(self.followers)
        await self._stack.enter_async_context(self.writer)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Write what has ended, and stop."""
        await self._stack.aclose()

    async def look(self, stream_id: str, owner: str) -> LogState | None:
        """What there is of a log; None if this owner has none of that id.

        Raises `StoreUnavailable`.
        """
        return _state(stream_id, await self.store.run(_LOOK, keys_of(stream_id), [owner, "", 0, 0]))

    async def read(
        self, stream_id: str, owner: str, cursor: int
    ) -> tuple[LogState, LogReader] | None:
        """A reader from a cursor on, with what there is; to be given to `leave`.

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
        """A reader reads no more."""
        reader.close()
        if log := self.writer.running.get(reader.stream_id):
            log.last_read_at = time.monotonic()
        try:
            _ = self.store.send(_LEAVE, keys_of(reader.stream_id), [reader.lease])
        except StoreUnavailable:
            return  # The lease ends by itself.

    async def whole(self, state: LogState) -> list[bytes]:
        """Every event that is kept. Raises `StoreUnavailable`."""
        events: list[bytes] = []
        at = EntryId(0)
        while True:
            found = await self.store.run(READ, keys_of(state.id), [str(at), _WHOLE_AT_ONCE])
            if not found:
                return events
            for raw in found:
                entry = entry_of(raw)
                at = entry.id
                events += events_of(entry)

    async def stop(self, stream_id: str, owner: str) -> bool:
        """Have its producer stop, wherever it is; False if this owner has no such log.

        Raises `StoreUnavailable`.
        """
        answer = await self.store.run(_STOP, keys_of(stream_id), [owner])
        log = self.writer.running.get(stream_id)
        if answer == 1 and log is not None and log.stopped is not None:
            stopped, log.stopped = log.stopped, None
            stopped()
        return bool(answer >= 0)

    async def is_dead(self, state: LogState) -> bool:
        """Whether its producer is gone without a word. Raises `StoreUnavailable`."""
        if state.end is not None or state.id in self.writer.running:
            return False
        command = ("EXISTS", heartbeat_of(state.header.get("producer", "")))
        for last in (False, True):
            [alive] = await self.store.pipeline([command], self.store.timeout)
            if alive != 0:
                return False
            if not last:
                await asyncio.sleep(DEAD_AFTER_SECONDS)
        return True


def _state(stream_id: str, raw: Any) -> LogState | None:
    if not raw:
        return None
    if raw[0] == b"full":
        raise TooManyReaders
    header = pairs_of(raw[1])
    entries = [entry_of(one) for one in raw[2]]
    last = entry_of(raw[3][0]).id if raw[3] else EntryId(0, 1)
    # The entry that begins a log holds no event.
    first = next((one.first for one in entries if one.lengths), last.event + 1)
    return LogState(stream_id, header, first, last, raw[4])
