"""Batches of which nobody knows whether the store took them: asked about, and sent again."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from proxy.state import script
from proxy.state.errors import StoreUnavailable
from proxy.state.log_entry import id_of

if TYPE_CHECKING:
    from proxy.state.store import Store
    from proxy.state.stream_log import StreamLog

_LAST = script.load("log_last", "log")
FORGOTTEN = "forgotten"
"""Why a log is given up: the store answers, and has none of that id."""
AWAY, IN_PART = "store away", "forgotten in part"
PATIENCE_SECONDS = 10.0
"""For so long batches wait for a store that is away."""


class Writing(Protocol):
    """Who writes the logs."""

    def changed(self, log: StreamLog) -> None:
        """Write this log again."""

    def lose(self, log: StreamLog, reason: str) -> None:
        """Give it up."""


class LogDoubts:
    """The logs whose oldest batch had no answer."""

    def __init__(self, store: Store, writer: Writing) -> None:
        self._store = store
        self._writer = writer
        self._logs: dict[StreamLog, None] = {}

    def add(self, log: StreamLog) -> None:
        """No answer came: nothing more is sent of this log until that is settled."""
        log.doubtful_since = log.doubtful_since or time.monotonic()
        self._logs[log] = None

    def discard(self, log: StreamLog) -> None:
        """It is of no interest any more."""
        self._logs.pop(log, None)

    async def settle(self) -> None:
        """Find out what arrived, where the store answers; give up what has waited too long."""
        doubtful = []
        for log in list(self._logs):
            since = log.doubtful_since
            if since is None or log.lost:
                self.discard(log)
            elif time.monotonic() - since > PATIENCE_SECONDS or log.too_large:
                self._writer.lose(log, AWAY)
            elif self._store.available:
                doubtful.append(log)
        # All at once: there may be hundreds, and what waits for them waits.
        await asyncio.gather(*map(self._settle, doubtful))

    async def _settle(self, log: StreamLog) -> None:
        try:
            _, last = await self._store.run(_LAST, log.keys)
        except StoreUnavailable:
            return
        if not last:
            self._writer.lose(log, FORGOTTEN)
            return
        self.discard(log)
        log.doubtful_since = None
        there = id_of(last[0][0])
        while log.unsent and log.unsent[0].id <= there:
            log.unsent.popleft()
        if log.unsent and there.event + 1 < log.unsent[0].first:
            # A replica has taken over that lacks what the old master had confirmed.
            self._writer.lose(log, IN_PART)
            return
        self._writer.changed(log)
