"""The log of one stream while its producer runs: events in, batches out, nothing waited for."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from proxy.state.log_entry import End, Entry, EntryId, end_id, joined, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.state.backend import Command


class Owner(Protocol):
    """Who writes the batches down."""

    def changed(self, log: StreamLog) -> None:
        """There is something to write."""


class StreamLog:
    """What the producer adds to. Its parts that `LogWriter` uses are public, too."""

    def __init__(self, owner: Owner, stream_id: str, most_bytes: int) -> None:
        self.id = stream_id
        self.keys = keys_of(stream_id)
        self.lost = ""
        """Why the log was given up; empty while it is kept."""
        self.ended = asyncio.Event()
        """Set once the end is in the store, or the log is lost."""
        self.header: dict[str, str | bytes] = {}
        """Header fields that have changed and are not in the store yet."""
        self.last_read_at = time.monotonic()
        """When somebody was last known to read it, the first client included."""
        self.stopped: Callable[[], None] | None = None
        """Called once when a client wants it stopped."""
        self.gone: Callable[[], None] | None = None
        """Called once when the log is lost."""
        self.written: Callable[[Entry], None] | None = None
        """Who reads it in this very worker is handed each entry."""
        self.progress: Callable[[], dict[str, str | bytes]] | None = None
        """What the header should say of the stream by now."""
        self.batched: Callable[[], None] | None = None
        """Called before each batch; it may add to `commands`."""
        self.commands: list[Command] = []
        """What is to be sent with the next batch."""
        self.position = EntryId(0, 1)
        """The id of the last entry that was made."""
        self.unsent: deque[Entry] = deque()
        """Batches that the store has not confirmed, oldest first."""
        self.doubtful_since: float | None = None
        """Since when nobody knows whether the oldest of them arrived."""
        self.ending: Entry | None = None
        self._owner = owner
        self._most_bytes = most_bytes
        self._pending: list[bytes] = []
        self._taken = 0
        self._kept: deque[tuple[int, int]] = deque()
        self.kept_bytes = 0
        """What the store has of it."""
        self.reported_bytes = 0
        """How much of that the account of all logs has heard of."""

    def add(self, event: bytes) -> None:
        """One more whole event."""
        if not self._pending:
            if self.lost and self.written is None:
                return
            self._owner.changed(self)
        self._pending.append(event)

    @property
    def events(self) -> int:
        """Whole events so far."""
        return self._taken + len(self._pending)

    def end(self, end: End, tail: bytes = b"") -> None:
        """There are no more events; `tail` is what came after the last one."""
        if self.ending is None:
            self.ending = Entry(end_id(self.events), end=end, tail=tail)
            self._owner.changed(self)

    def give_up(self, reason: str) -> None:
        """The log is lost; the stream is an ordinary one from here on."""
        if self.lost or self.ended.is_set():
            return
        self.lost = reason
        self.unsent.clear()
        self.ended.set()
        if self.gone is not None:
            self.gone()

    @property
    def waiting_bytes(self) -> int:
        """What the store has not taken yet."""
        return sum(map(len, self._pending)) + sum(len(entry.data) for entry in self.unsent)

    @property
    def too_large(self) -> bool:
        """Whether more waits than a log may hold."""
        return self.waiting_bytes > self._most_bytes

    def take(self) -> None:
        """Make one batch of what waits. Whoever reads here is told of it at once."""
        pending = self._pending
        if not pending:
            return
        if self.batched is not None:
            self.batched()
        data, lengths = b"".join(pending), tuple(map(len, pending))
        self._taken += len(pending)
        pending.clear()
        self._kept.append((self._taken, len(data)))
        self.kept_bytes += len(data)
        entry = Entry(EntryId(self._taken), lengths, data)
        self.unsent.append(entry)
        self._made(entry)

    def take_end(self) -> Entry | None:
        """The end, once all before it has been written."""
        if self._pending or self.unsent or self.ending is None:
            return None
        if self.position != self.ending.id:
            self._made(self.ending)
        return self.ending

    def batch(self) -> tuple[str, str, str, bytes]:
        """The oldest unsent batch: what to drop before it, its id, its lengths, its bytes.

        What is over the bound is dropped, oldest first.
        """
        entry = self.unsent[0]
        keep = ""
        while self.kept_bytes > self._most_bytes and len(self._kept) > 1:
            self.kept_bytes -= self._kept.popleft()[1]
            keep = f"{self._kept[0][0]}-0"
        return keep, str(entry.id), joined(entry.lengths), entry.data

    def _made(self, entry: Entry) -> None:
        self.position = entry.id
        if self.written is not None:
            self.written(entry)
