"""The producer's side of one stream's log: batches its events, without I/O."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from typing import TYPE_CHECKING, Protocol

from proxy.state.log_entry import End, Entry, EntryId, end_id, keys_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.state.backend import Command

Batch = tuple[int, list[int], bytes]
"""The number of its last event, the length of each event, and their bytes.

Not an `Entry`, which takes ten times as long to make: each log has twenty batches a second.
"""


class Owner(Protocol):
    """The writer of the batches."""

    def changed(self, log: ProducedLog) -> None:
        """Schedule this log to be written."""


class ProducedLog:
    """The log a producer adds events to. The attributes that `LogWriter` uses are public, too."""

    def __init__(self, owner: Owner, stream_id: str, max_bytes: int) -> None:
        self.id = stream_id
        self.keys = keys_of(stream_id)
        self.lost = ""
        """Why the log was given up; empty while it is kept."""
        self.ended = asyncio.Event()
        """Set when the end is in the store, or the log is lost."""
        self.header: dict[str, str | bytes] = {}
        """Header fields that have changed since the last write."""
        self.last_read_at = time.monotonic()
        """When the log was last known to have a reader, the first client included."""
        self.stopped: Callable[[], None] | None = None
        """Called once when a client asks to stop the stream."""
        self.gone: Callable[[], None] | None = None
        """Called once if the log is lost."""
        self.written: Callable[[Entry], None] | None = None
        """Called with each entry, for the readers in this worker."""
        self.progress: Callable[[], dict[str, str | bytes]] | None = None
        """Returns the header fields that describe the stream's progress."""
        self.batched: Callable[[], None] | None = None
        """Called before each batch; it may add to `commands`."""
        self.commands: list[Command] = []
        """Commands to send with the next batch."""
        self.taken = 0
        """The number of events that were cut into batches."""
        self.unsent: deque[Batch] = deque()
        """Batches that the store has not confirmed, oldest first."""
        self.unconfirmed_since: float | None = None
        """Since when it is unknown whether the oldest of them arrived."""
        self.ending: Entry | None = None
        self._owner = owner
        self._most_bytes = max_bytes
        self.pending: list[bytes] = []
        """Events since the last batch. Always the same list: a caller may keep a reference, and
        append to it directly while it is not empty."""
        self._end_made = False
        self._kept: deque[tuple[int, int]] = deque()
        self.kept_bytes = 0
        """Bytes of this log in the store."""
        self.reported_bytes = 0
        """How many of those were reported to the quota of all logs."""

    def add(self, event: bytes) -> None:
        """Add one whole event."""
        if not self.pending:
            if self.lost and self.written is None:
                return
            self._owner.changed(self)
        self.pending.append(event)

    @property
    def events(self) -> int:
        """The number of whole events so far."""
        return self.taken + len(self.pending)

    @property
    def position(self) -> EntryId:
        """The id of the last entry that was cut."""
        if self._end_made and self.ending is not None:
            return self.ending.id
        return EntryId(self.taken) if self.taken else EntryId(0, 1)

    def end(self, end: End, tail: bytes = b"") -> None:
        """End the log; `tail` are the bytes after the last whole event."""
        if self.ending is None:
            self.ending = Entry(end_id(self.events), end=end, tail=tail)
            self._owner.changed(self)
            if self.lost:
                self._release()

    def complete(self) -> None:
        """Note that the end is in the store, or that the log is deleted."""
        self.ended.set()
        self._release()

    def _release(self) -> None:
        """Drop the callbacks, whose objects refer to this log.

        The garbage collector, which alone would free them otherwise, rarely looks at what has lived
        as long as a stream.
        """
        self.stopped = self.gone = self.progress = self.batched = None

    def give_up(self, reason: str) -> None:
        """Mark the log as lost; the stream continues without it."""
        if self.lost or self.ended.is_set():
            return
        self.lost = reason
        self.unsent.clear()
        self.ended.set()
        if self.gone is not None:
            self.gone()
        if self.ending is not None:
            self._release()

    @property
    def waiting_bytes(self) -> int:
        """Bytes that the store has not confirmed."""
        return sum(map(len, self.pending)) + sum(len(batch[2]) for batch in self.unsent)

    @property
    def too_large(self) -> bool:
        """Whether more bytes wait than a log may hold."""
        return self.waiting_bytes > self._most_bytes

    def take(self) -> None:
        """Cut one batch of the pending events, and deliver it to readers in this worker."""
        pending = self.pending
        if not pending:
            return
        if self.batched is not None:
            self.batched()
        data, lengths = b"".join(pending), [*map(len, pending)]
        pending.clear()
        self.taken = taken = self.taken + len(lengths)
        self._kept.append((taken, len(data)))
        self.kept_bytes += len(data)
        self.unsent.append((taken, lengths, data))
        if self.written is not None:
            self.written(Entry(EntryId(taken), tuple(lengths), data))

    def take_end(self) -> Entry | None:
        """Return the end entry, or None while events before it are unwritten."""
        if self.pending or self.unsent or self.ending is None:
            return None
        if not self._end_made:
            self._end_made = True
            if self.written is not None:
                self.written(self.ending)
        return self.ending

    def drop_before(self) -> int:
        """Return the number of the first batch to keep when that has changed, else 0.

        Batches over the log's size limit are dropped, oldest first.
        """
        keep = 0
        while self.kept_bytes > self._most_bytes and len(self._kept) > 1:
            self.kept_bytes -= self._kept.popleft()[1]
            keep = self._kept[0][0]
        return keep
