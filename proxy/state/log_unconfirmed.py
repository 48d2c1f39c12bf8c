"""Batches that the store has not confirmed: look up whether they arrived, and resend them."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Protocol

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import id_of

if TYPE_CHECKING:
    from proxy.state.produced_log import ProducedLog
    from proxy.state.store import Store

_LAST = script.load("log_last", "log")
FORGOTTEN = "forgotten"
"""Reason for giving a log up: the store is up but does not have the log."""
AWAY, IN_PART = "store away", "forgotten in part"
MAX_OUTAGE_SECONDS = 10.0
"""How long batches wait for an unavailable store."""


class Writing(Protocol):
    """The writer of the logs."""

    def changed(self, log: ProducedLog) -> None:
        """Schedule this log to be written again."""

    def lose(self, log: ProducedLog, reason: str) -> None:
        """Give the log up."""


class UnconfirmedBatches:
    """The logs whose oldest batch was sent but not confirmed."""

    def __init__(self, store: Store, writer: Writing) -> None:
        self._store = store
        self._writer = writer
        self._logs: dict[ProducedLog, None] = {}

    def add(self, log: ProducedLog) -> None:
        """Hold back further batches of this log until the fate of its oldest is known."""
        log.unconfirmed_since = log.unconfirmed_since or time.monotonic()
        self._logs[log] = None

    def discard(self, log: ProducedLog) -> None:
        """Stop tracking a log."""
        self._logs.pop(log, None)

    async def settle(self) -> None:
        """Look up which batches arrived, and give up logs that have waited too long."""
        doubtful = []
        for log in list(self._logs):
            since = log.unconfirmed_since
            if since is None or log.lost:
                self.discard(log)
            elif time.monotonic() - since > MAX_OUTAGE_SECONDS or log.too_large:
                self._writer.lose(log, AWAY)
            elif self._store.available:
                doubtful.append(log)
        # Concurrently: there may be hundreds, and no further batch of theirs is sent meanwhile.
        await asyncio.gather(*map(self._settle, doubtful))

    async def _settle(self, log: ProducedLog) -> None:
        try:
            _, last = await self._store.run(_LAST, log.keys)
        except StoreUnavailable:
            return
        if not last:
            self._writer.lose(log, FORGOTTEN)
            return
        self.discard(log)
        log.unconfirmed_since = None
        stored = id_of(last[0][0])
        while log.unsent and log.unsent[0][0] <= stored.event:
            log.unsent.popleft()
        if log.unsent and stored.event < log.unsent[0][0] - len(log.unsent[0][1]):
            # A replica was promoted that lacks entries the old master had confirmed.
            self._writer.lose(log, IN_PART)
            return
        self._writer.changed(log)
