"""The filter of an event stream that is recorded in a log, so that it can be resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from proxy.record import EndedBy, Family, Reader
from proxy.relay.event_cutter import EventCutter
from proxy.relay.event_stream import EventStream
from proxy.relay.pings import COMMENT, ping_of

if TYPE_CHECKING:
    from proxy.errors import SluiceError


class Log(Protocol):
    """The log of the events."""

    @property
    def pending(self) -> list[bytes]:
        """Those that have not been taken away yet, always in the same list.

        Where there are any, a further one may be put after them, which saves a token the call.
        """

    def add(self, event: bytes) -> None:
        """Add one whole event."""


class RecordedStream(EventStream):
    """A `EventStream` that also adds each whole event to the log."""

    __slots__ = ("_cutter", "_log", "_pending", "_recorded_family")

    def __init__(
        self, family: Family, reader: Reader, log: Log, *, hides_usage: bool = False
    ) -> None:
        super().__init__(family, reader, hides_usage=hides_usage)
        self._log = log
        self._pending = log.pending
        """What a token's event may be put after; empty while part of an event is being kept."""
        self._cutter = EventCutter()
        self._recorded_family = family

    @property
    def rest(self) -> bytes:
        """The bytes after the last whole event."""
        return self._cutter.rest

    @property
    def ping(self) -> bytes:
        """A ping that does not count as an event: cursors must not depend on pings."""
        return recorded_ping(self._recorded_family) or super().ping

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Do as `EventStream.feed`; an event that matches the token template is added uncut."""
        if not self._framer.begun and self._reader.token(chunk, now):
            self.data_at = now
            if pending := self._pending:
                pending.append(chunk)
            elif self._cutter.begun:
                self._record(chunk)
            else:
                self._log.add(chunk)
            return chunk
        out = self.feed_other(chunk, now)
        if out:
            self._record(out)
        return out

    def close(self, now: float) -> tuple[EndedBy, bytes]:
        """Do as `EventStream.close`."""
        ended_by, owed = super().close(now)
        self._record(owed)
        return ended_by, owed

    def cut(self, error: SluiceError, request_id: str) -> bytes:
        """Do as `EventStream.cut`; the terminal event is added to the log, too."""
        event = super().cut(error, request_id)
        self._record(event)
        return event

    def _record(self, out: bytes) -> None:
        for event in self._cutter.feed(out):
            self._log.add(event)
        self._pending = [] if self._cutter.begun else self._log.pending


def recorded_ping(family: Family) -> bytes:
    """Return the ping of a recorded stream; empty if the family's own ping is not an event."""
    return COMMENT if family is Family.MESSAGES else b""


def ping_for(family: Family, *, recorded: bool) -> bytes:
    """Return a ping for a stream of this family before its first bytes."""
    return (recorded_ping(family) if recorded else b"") or ping_of(family)
