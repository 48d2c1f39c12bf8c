"""Ends the logs whose producer cannot: it died, or could not write any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.state import script
from proxy.state.errors import StoreUnavailable
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

    from proxy.state.log_account import LogAccount
    from proxy.state.log_entry import End
    from proxy.state.store import Argument, Store

    LastWords = Callable[[Mapping[str, str], Entry, bool], tuple[bytes, End]]
    """From a log's header, its last entry, and whether its producer lives: the terminal event that
    its readers get, and its end."""

_LAST = script.load("log_last", "log")
_END = script.load("log_end", "log")
_WRITTEN_MEANWHILE = -2
_WRITE_SECONDS = 1.0
_AGAIN_SECONDS = 0.4


class LogBurial:
    """Whoever comes first ends a log for all: further ends change nothing."""

    def __init__(self, store: Store, ttl: int, last_words: LastWords, account: LogAccount) -> None:
        """`ttl`: for how many milliseconds a log can be read after its end."""
        self._store = store
        self._ttl = ttl
        self._last_words = last_words
        self._account = account
        self._given_up: dict[str, None] = {}
        self._some = asyncio.Event()

    async def bury(self, stream_id: str, *, producer_lives: bool = False) -> bool:
        """End a log, unless it has ended; whether there is nothing left to be done.

        Asks a store that others do not ask at present. Raises `StoreUnavailable`.
        """
        keys = keys_of(stream_id)
        raw_header, raw_last = await self._store.insist(_LAST, keys, (), _WRITE_SECONDS)
        header = pairs_of(raw_header)
        if not header or "ended" in header:
            return True
        last = entry_of(raw_last[0]) if raw_last else Entry(EntryId(0, 1))
        words, end = self._last_words(header, last, producer_lives)
        events = last.id.event + 1
        arguments: list[Argument] = [
            self._ttl,
            str(end_id(events)),
            end.encoded(),
            b"",
            str(last.id),
            joined([len(words)]),
            words,
            str(EntryId(events)),
        ]
        made = await self._store.insist(_END, keys, arguments, _WRITE_SECONDS)
        self._account.prolonged(stream_id, self._ttl)
        return bool(made != _WRITTEN_MEANWHILE)

    def give_up(self, stream_id: str) -> None:
        """The producer lives and writes no more: its readers must hear of it as soon as may be."""
        self._given_up[stream_id] = None
        self._some.set()

    async def bury_given_up_for_ever(self) -> None:
        """Give each of them its end, once the store takes it."""
        while True:
            await self._some.wait()
            for stream_id in list(self._given_up):
                try:
                    done = await self.bury(stream_id, producer_lives=True)
                except StoreUnavailable:
                    break
                if done:
                    self._given_up.pop(stream_id)
            if not self._given_up:
                self._some.clear()
            else:
                await asyncio.sleep(_AGAIN_SECONDS)
