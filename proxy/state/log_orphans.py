"""Ends orphaned logs: those whose producer has died, or can no longer write to the store."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import (
    Entry,
    EntryId,
    end_id,
    entry_of,
    joined,
    keys_of,
    pairs_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from proxy.state.log_entry import End
    from proxy.state.log_quota import LogQuota
    from proxy.state.store import Argument, Store

    MakeEnd = Callable[[Mapping[str, str], Entry, bool], tuple[bytes, End]]
    """Takes a log's header, its last entry, and whether its producer is alive; returns the terminal
    event for the log's readers, and the log's end."""

_LAST = script.load("log_last", "log")
_END = script.load("log_end", "log")
_WRITTEN_MEANWHILE = -2
_WRITE_SECONDS = 1.0
_AGAIN_SECONDS = 0.4


class LogOrphans:
    """Writes the end of orphaned logs. The first writer wins; a second end changes nothing."""

    def __init__(self, store: Store, ttl: int, make_end: MakeEnd, quota: LogQuota) -> None:
        """Take as `ttl` how many milliseconds a log stays readable after its end."""
        self._store = store
        self._ttl = ttl
        self._make_end = make_end
        self._quota = quota
        self._abandoned: dict[str, None] = {}
        self._pending = asyncio.Event()

    async def end(self, stream_id: str, *, producer_alive: bool = False) -> bool:
        """End a log unless it has ended. Return False if it was written to meanwhile: try again.

        Calls the store even while the circuit breaker is open. Raises `StoreUnavailable`.
        """
        keys = keys_of(stream_id)
        raw_header, raw_last = await self._store.run_past_breaker(_LAST, keys, (), _WRITE_SECONDS)
        header = pairs_of(raw_header)
        if not header or "ended" in header:
            return True
        last = entry_of(raw_last[0]) if raw_last else Entry(EntryId(0, 1))
        event, end = self._make_end(header, last, producer_alive)
        events = last.id.event + 1
        arguments: list[Argument] = [
            self._ttl,
            str(end_id(events)),
            end.encoded(),
            b"",
            str(last.id),
            joined([len(event)]),
            event,
            str(EntryId(events)),
        ]
        result = await self._store.run_past_breaker(_END, keys, arguments, _WRITE_SECONDS)
        self._quota.prolonged(stream_id, self._ttl)
        return bool(result != _WRITTEN_MEANWHILE)

    def abandon(self, stream_id: str) -> None:
        """Mark a log whose producer is alive but cannot write; a background task ends it."""
        self._abandoned[stream_id] = None
        self._pending.set()

    async def end_abandoned_forever(self) -> None:
        """End each abandoned log as soon as the store accepts writes."""
        while True:
            await self._pending.wait()
            for stream_id in list(self._abandoned):
                try:
                    is_ended = await self.end(stream_id, producer_alive=True)
                except StoreUnavailable:
                    break
                if is_ended:
                    self._abandoned.pop(stream_id)
            if not self._abandoned:
                self._pending.clear()
            else:
                await asyncio.sleep(_AGAIN_SECONDS)
