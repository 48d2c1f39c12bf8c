"""The filter of an event stream, without I/O: the upstream's bytes in, the client's out.

A healthy stream is relayed unchanged, byte for byte and read by read. Two things are withheld: a
partial `[DONE]`, which clients take for the end as soon as its line begins, and, if Sluice asked
for usage on its own behalf, the chunk that contains only usage.

The state is a position: the bytes before it have been sent, the bytes received after it are
withheld.

    received bytes:   [ whole events, read ][ unfinished event: partial         ]
    of the partial:                         [ already sent ][ `_withheld` bytes ]

Invariants, after each `feed`:

- `_withheld` counts the last bytes of `Framer.partial`, so that it is at most that long.
- The bytes sent are a prefix of the bytes received, without hidden usage chunks. No byte is sent
  twice, out of order or changed.
- An event of which a byte was sent is sent to its end: only an event that was withheld from its
  first byte on can be hidden.
- At most `_WITHHELD_BYTES` are withheld: a longer event is neither a usage chunk nor an end marker.

Why it is safe: no client sees the beginning of a `[DONE]` that never became whole, so that a stream
cut inside it is seen as cut. At a true end, `close` returns the bytes that are still withheld.
Withholding for usage begins only after every choice has finished, so that no token is delayed.
"""

from __future__ import annotations

from proxy.errors import SluiceError
from proxy.record import EndedBy, EventKind, Family, Reader
from proxy.relay.pings import ping_of
from proxy.relay.sse import Framer, ServerSentEvent
from proxy.relay.terminal_event import spoil, terminal_event

_WITHHELD_BYTES = 64 * 1024
"""The most that is withheld while it may be the usage chunk."""


class EventStream:
    """The state of one stream, and the meaning of its end."""

    __slots__ = (
        "_family",
        "_framer",
        "_hides_usage",
        "_line_end",
        "_reader",
        "_withheld",
        "data_at",
        "end",
    )

    def __init__(self, family: Family, reader: Reader, *, hides_usage: bool = False) -> None:
        self._family = family
        self._reader = reader
        self._framer = Framer()
        self._hides_usage = hides_usage
        self._line_end = b"\n"
        self._withheld = 0
        self.data_at: float | None = None
        """When the last data event was completed; pings and comments do not count."""
        self.end: EndedBy | None = None
        """`complete` after the end marker, `error_event` after the upstream's error event."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token of any channel was received; None before."""
        return self._reader.first_token_at

    @property
    def between_events(self) -> bool:
        """Whether a ping may be inserted here."""
        return self._framer.between_events

    @property
    def ping(self) -> bytes:
        """A ping in this family's form, with the line ends of this stream."""
        return ping_of(self._shown, self._line_end)

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Process the next bytes of the upstream; return those to send on.

        Most reads are exactly one event that matches the token template.
        """
        if not self._framer.begun and self._reader.token(chunk, now):
            self.data_at = now
            return chunk
        return self.feed_other(chunk, now)

    def feed_other(self, chunk: bytes, now: float) -> bytes:
        """Process bytes that do not match the token template."""
        data = self._framer.single(chunk)
        if data is None:
            return self._feed_any(chunk, now)
        kind = self._reader.event(b"", data, now)
        if kind is EventKind.DATA:
            self.data_at = now
            return chunk
        self._note(kind, now)
        return b"" if kind is EventKind.USAGE and self._hides_usage else chunk

    def close(self, now: float) -> tuple[EndedBy, bytes]:
        """Note that the body ended cleanly; return the outcome, and withheld bytes to send.

        The stream is complete if it had the family's end marker, or every choice its finish reason;
        otherwise it was cut.
        """
        last = self._framer.unfinished()
        if last is not None and self.end is None and not _is_cut_short(last):
            self._judge(last, now)
        if self.end is None and (not self._reader.finished() or (last is not None and last.data)):
            return EndedBy.UPSTREAM_CUT, b""
        owed = bytes(self._framer.partial[-self._withheld :]) if self._withheld else b""
        self._withheld = 0
        return self.end or EndedBy.COMPLETE, owed

    def cut(self, error: SluiceError, request_id: str) -> bytes:
        """Return the bytes that end the stream with an error event."""
        sent = bytes(self._framer.partial)
        if self._withheld:
            sent = sent[: -self._withheld]
        family = self._shown
        # A line may have been received whole, but sent in part, if the rest is withheld.
        whole = self._framer.between_events and sent.endswith((b"\n", b"\r"))
        begun = b"" if whole or not sent else spoil(sent, family)
        return begun + terminal_event(family, error, request_id, self._reader)

    @property
    def _shown(self) -> Family:
        return self._reader.family if self._family is Family.UNKNOWN else self._family

    def _feed_any(self, chunk: bytes, now: float) -> bytes:
        sent = len(self._framer.partial) - self._withheld
        owed = bytes(self._framer.partial[sent:]) + chunk if self._withheld else chunk
        offset = 0
        events = self._framer.feed(chunk)
        if events:
            self._line_end = _line_end(events[-1].raw)
        for event in events:
            end = offset + len(event.raw) - sent
            kind = self._judge(event, now)
            if kind is EventKind.USAGE and self._hides_usage and not sent:
                owed = owed[:offset] + owed[end:]
            else:
                offset = end
            sent = 0
        self._withheld = self._to_withhold(sent)
        return owed[: -self._withheld] if self._withheld else owed

    def _judge(self, event: ServerSentEvent, now: float) -> EventKind:
        if event.tail is not None:
            kind = self._reader.oversized(event.name, event.data or b"", event.tail, now)
        elif self._reader.token(event.raw, now):
            kind = EventKind.DATA
        elif event.data is not None:
            kind = self._reader.event(event.name, event.data, now)
        elif event.stray:
            kind = self._reader.stray(event.stray, now)
        else:
            return EventKind.PING
        self._note(kind, now)
        return kind

    def _note(self, kind: EventKind, now: float) -> None:
        if kind is not EventKind.PING:
            self.data_at = now
        if self.end is None and kind is EventKind.END:
            self.end = EndedBy.COMPLETE
        elif self.end is None and kind is EventKind.ERROR:
            self.end = EndedBy.ERROR_EVENT

    def _to_withhold(self, sent: int) -> int:
        """Return how many of the last bytes to withhold."""
        partial = self._framer.partial
        unsent = len(partial) - sent
        if not unsent or self._framer.oversized or unsent > _WITHHELD_BYTES:
            return 0
        if partial.startswith((b"data: [", b"data:[")):
            return unsent
        return unsent if self._hides_usage and self._reader.finishing else 0


def _line_end(raw: bytes) -> bytes:
    if raw.endswith(b"\r\n"):
        return b"\r\n"
    return b"\r" if raw.endswith(b"\r") else b"\n"


def _is_cut_short(event: ServerSentEvent) -> bool:
    """Whether an unfinished event's data is neither a whole JSON document nor an end marker."""
    return event.data is not None and not event.data.endswith((b"}", b"]"))
