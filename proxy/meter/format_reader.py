"""The base class of the families' readers, and the tracking of choices that some share."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import msgspec

from proxy.meter.json_values import error_kind, word_in
from proxy.record import EventKind

if TYPE_CHECKING:
    from proxy.meter.tally import Tally
    from proxy.record import Family

UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What decoding an untrusted document may raise, including deep nesting."""
_MAX_CHOICES = 128
"""More than any API allows; higher indexes share the last bit."""
_PINGS = frozenset({b"ping", b"keepalive", b"keep-alive", b"heartbeat"})


class FormatReader:
    """Reads the events of one family into a tally."""

    __slots__ = ("choices", "plain", "tally")

    family: ClassVar[Family]
    done_mark_ends: ClassVar[bool] = True
    """Whether `[DONE]` is this family's end marker."""

    def __init__(self, tally: Tally, choices: int = 1) -> None:
        tally.family = self.family
        self.tally = tally
        self.choices = choices
        """The number of requested choices (`n`)."""
        self.plain = 0
        """The channel, if the last event was a single token of it and nothing else."""

    def read(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read one whole event."""
        raise NotImplementedError

    def glimpse(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read an oversized event of which only the beginning and the end are known."""
        raise NotImplementedError

    def body(self, body: bytes) -> None:
        """Read a whole response that was not streamed.

        Raises one of `UNREADABLE` if it is malformed.
        """
        raise NotImplementedError

    def finished(self) -> bool:
        """Whether the stream is complete if its body ends cleanly here."""
        return self.tally.finishing

    def failed(self, error: object) -> EventKind:
        """Note the upstream's error."""
        self.tally.error = error_kind(error)
        return EventKind.ERROR

    def odd(self, name: bytes, data: bytes) -> EventKind:
        """Classify a JSON object that has none of the family's own members."""
        try:
            document = msgspec.json.decode(data)
        except UNREADABLE:  # The typed decoder skipped members that are decoded here.
            return self.unreadable(name, data)
        kinds = {word_in(document, "type"), word_in(document, "object")}
        if "ping" in kinds or name in _PINGS:
            return EventKind.PING
        if "error" in kinds or name == b"error":
            return self.failed(document.get("error") or document)
        return EventKind.DATA

    def mark(self, name: bytes, data: bytes) -> EventKind | None:
        """Classify data that is a marker common to all families; None if it is not."""
        mark = data.strip()
        if not mark or name in _PINGS:
            return EventKind.PING
        if mark == b"[DONE]":
            return EventKind.END if self.done_mark_ends or self.tally.finishing else EventKind.DATA
        return self.failed(None) if name == b"error" else None

    def unreadable(self, name: bytes, data: bytes) -> EventKind:
        """Classify data that this family does not send."""
        kind = self.mark(name, data)
        if kind is None:
            self.tally.malformed += 1
        return kind or EventKind.DATA


class Choices:
    """The begun and ended choices of one answer, as bit sets by index."""

    __slots__ = ("_asked", "_begun", "_ended")

    def __init__(self, asked: int = 1) -> None:
        self._asked = asked
        self._begun = 0
        self._ended = 0

    def begin(self, index: int | None) -> None:
        """Note that a choice has begun."""
        self._begun |= _place(index)

    def end(self, index: int | None) -> None:
        """Note that a choice has its finish reason."""
        self._ended |= _place(index)

    @property
    def all_ended(self) -> bool:
        """Whether every requested and every begun choice has ended."""
        expected = max(self._asked, self._begun.bit_count())
        return self._ended.bit_count() >= expected and not self._begun & ~self._ended


def _place(index: int | None) -> int:
    return 1 << min(max(index or 0, 0), _MAX_CHOICES - 1)
