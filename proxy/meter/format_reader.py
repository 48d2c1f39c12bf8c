"""What every family's reader is: a way to take in one event, or one whole body.

Families that answer with several choices also share how their ends are told (`Choices`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from proxy.meter.json_values import error_kind, word_in
from proxy.record import EventKind

if TYPE_CHECKING:
    from proxy.meter.tokens import Tally
    from proxy.record import Family

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding a foreign document may raise, depth bombs included."""
_MAX_CHOICES = 128
"""More than any API allows; an upstream that numbers on shares the last place."""
_PINGS = frozenset({b"ping", b"keepalive", b"keep-alive", b"heartbeat"})


class FormatReader:
    """Reads the events of one family into a tally. The base knows what all families share."""

    __slots__ = ("choices", "plain", "tally")

    family: ClassVar[Family]
    done_mark_ends: ClassVar[bool] = True
    """Whether `[DONE]` is this family's own end mark."""

    def __init__(self, tally: Tally, choices: int = 1) -> None:
        tally.family = self.family
        self.tally = tally
        self.choices = choices
        """How many choices were asked for (`n`)."""
        self.plain = 0
        """The channel, if the last event was a token of it and nothing else."""

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Take in one whole event."""
        raise NotImplementedError

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Take in an event of which only the two ends are known."""
        raise NotImplementedError

    def body(self, body: bytes) -> None:
        """Take in a whole answer that was not streamed.

        Raises one of `UNREADABLE` if it is none of this family's.
        """
        raise NotImplementedError

    def finished(self) -> bool:
        """Whether a clean end of body here is a true end."""
        return self.tally.finishing

    def failed(self, error: object) -> EventKind:
        """Note the upstream's own error."""
        self.tally.error = error_kind(error)
        return EventKind.ERROR

    def odd(self, name: bytes, data: bytes) -> EventKind:
        """Judge a whole JSON object that has none of the family's own members."""
        try:
            document = msgspec.json.decode(data)
        except UNREADABLE:  # What a typed decoder passed over is looked at for the first time.
            return self.unreadable(name, data)
        kinds = {word_in(document, "type"), word_in(document, "object")}
        if "ping" in kinds or name in _PINGS:
            return EventKind.PING
        if "error" in kinds or name == b"error":
            return self.failed(document.get("error") or document)
        return EventKind.DATA

    def mark(self, name: bytes, data: bytes) -> EventKind | None:
        """Judge data that is no JSON object by the marks all families share; None if it is none."""
        mark = data.strip()
        if not mark or name in _PINGS:
            return EventKind.PING
        if mark == b"[DONE]":
            return EventKind.END if self.done_mark_ends or self.tally.finishing else EventKind.DATA
        return self.failed(None) if name == b"error" else None

    def unreadable(self, name: bytes, data: bytes) -> EventKind:
        """Judge data that is not what this family sends."""
        kind = self.mark(name, data)
        if kind is None:
            self.tally.malformed += 1
        return kind or EventKind.DATA


class Choices:
    """The choices of one answer, as bits by their index."""

    __slots__ = ("_asked", "_begun", "_ended")

    def __init__(self, asked: int = 1) -> None:
        self._asked = asked
        self._begun = 0
        self._ended = 0

    def begin(self, index: int | None) -> None:
        """A choice has shown itself."""
        self._begun |= _place(index)

    def end(self, index: int | None) -> None:
        """A choice has had its finish reason."""
        self._ended |= _place(index)

    @property
    def all_ended(self) -> bool:
        """Whether every choice that was asked for, and every one that began, has ended."""
        expected = max(self._asked, self._begun.bit_count())
        return self._ended.bit_count() >= expected and not self._begun & ~self._ended


def _place(index: int | None) -> int:
    return 1 << min(max(index or 0, 0), _MAX_CHOICES - 1)
