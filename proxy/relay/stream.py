"""One event stream on its way through, without I/O: the upstream's bytes in, the client's out.

A healthy stream leaves as it came, byte for byte and read by read. Two things are ever withheld:
a half-sent `[DONE]`, which clients take for the end as soon as its line begins, and, where usage
was asked for on the client's behalf, the chunk that holds nothing else.

The state is a position: all bytes before it have been sent, and what has come after it is withheld.

    bytes that came:  [ whole events, judged ][ unfinished event: partial         ]
    of the partial:                           [ sent already ][ `_withheld` bytes ]

Invariants, after each `feed`:

- `_withheld` counts the last bytes of `Framer.partial`, so that it is never more than that has.
- What was sent is a prefix of what came, less whole usage chunks that are hidden. No byte is sent
  twice or out of order, and none is changed.
- An event of which a byte was sent is sent to its end: only an event that was withheld from its
  first byte on can still be hidden.
- It withholds at most `_WITHHELD_BYTES`: a longer event is no usage chunk and no end mark.

Why it is safe: no client sees the beginning of a `[DONE]` that never became whole, so that an
answer which breaks off inside it is seen as cut. What is still withheld at a true end is given by
`close`.
Withholding for usage begins only once every choice has finished, when no token can follow: it
delays none.
"""

from __future__ import annotations

from proxy.errors import SluiceError
from proxy.record import EndedBy, EventKind, Family, Reader
from proxy.relay.pings import ping_of
from proxy.relay.sse import Framer, ServerSentEvent
from proxy.relay.terminal import spoil, terminal_event

_WITHHELD_BYTES = 64 * 1024
"""The most that is withheld while it may be the usage chunk."""


class Stream:
    """What has passed of one stream, and what its end means."""

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
        """When the last data event was whole; pings and comments do not count."""
        self.end: EndedBy | None = None
        """`complete` once the end mark has passed, `error_event` once the upstream's error has."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token of any channel came; None until then."""
        return self._reader.first_token_at

    @property
    def between_events(self) -> bool:
        """Whether a ping may stand here."""
        return self._framer.between_events

    @property
    def ping(self) -> bytes:
        """A ping as this family's clients take it, with the line ends of this stream."""
        return ping_of(self._shown, self._line_end)

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Take in the next bytes from the upstream; give those to send on at once.

        Most reads are one whole event of one more token, and match its template.
        """
        if not self._framer.begun and self._reader.token(chunk, now):
            self.data_at = now
            return chunk
        return self.feed_other(chunk, now)

    def feed_other(self, chunk: bytes, now: float) -> bytes:
        """As `feed`, of what is no whole event of one more token."""
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
        """The body ended cleanly: what that means, and the bytes still owed to the client.

        A true end is the family's end mark, or every choice having had its finish reason; all
        else is a cut, however cleanly the body ended.
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
        """What to send so that the client sees the stream as broken, and why."""
        sent = bytes(self._framer.partial)
        if self._withheld:
            sent = sent[: -self._withheld]
        family = self._shown
        # Whole lines may have come and yet not have been sent whole: part of them may be withheld.
        whole = self._framer.between_events and sent.endswith((b"\n", b"\r"))
        begun = b"" if whole or not sent else spoil(sent, family)
        return begun + terminal_event(family, error, request_id, self._reader)

    @property
    def _shown(self) -> Family:
        return self._reader.family if self._family is Family.UNKNOWN else self._family

    def _feed_any(self, chunk: bytes, now: float) -> bytes:
        sent = len(self._framer.partial) - self._withheld
        owed = bytes(self._framer.partial[sent:]) + chunk if self._withheld else chunk
        at = 0
        events = self._framer.feed(chunk)
        if events:
            self._line_end = _line_end(events[-1].raw)
        for event in events:
            end = at + len(event.raw) - sent
            kind = self._judge(event, now)
            if kind is EventKind.USAGE and self._hides_usage and not sent:
                owed = owed[:at] + owed[end:]
            else:
                at = end
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
        """How many of the last bytes to keep back for now."""
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
    """Whether an unfinished event's data is no whole JSON document and no end mark."""
    return event.data is not None and not event.data.endswith((b"}", b"]"))
