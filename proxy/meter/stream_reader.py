"""The relay's reader of a stream: detects the family from the events, and counts them."""

from __future__ import annotations

import re

import msgspec

from proxy.meter.families.chat import Chat
from proxy.meter.families.completions import Completions
from proxy.meter.families.gemini import Gemini
from proxy.meter.families.messages import Messages
from proxy.meter.families.responses import Responses
from proxy.meter.families.unknown import Unknown
from proxy.meter.format_reader import UNREADABLE, FormatReader
from proxy.meter.sniff import family_of, is_foreign
from proxy.meter.tally import REASONING, TEXT, Tally
from proxy.meter.token_template import TokenTemplate
from proxy.record import EventKind, Family

_FORMAT_READERS: dict[Family, type[FormatReader]] = {
    dialect.family: dialect for dialect in (Chat, Responses, Completions, Messages, Gemini, Unknown)
}
_STRAY_ERROR = re.compile(rb'\s*\[?\s*\{\s*"(?:error"\s*:|type"\s*:\s*"error")')
_MAX_CHECKS = 8
"""Events of an unknown format after which the route's family is discarded."""


class StreamReader:
    """Reads the events of one stream; `proxy.record.Reader` documents the methods."""

    __slots__ = ("_checks_left", "_format", "_template", "tally")

    def __init__(self, family: Family, choices: int = 1) -> None:
        self.tally = Tally()
        self._format = _FORMAT_READERS[family](self.tally, choices)
        self._checks_left = _MAX_CHECKS
        self._template = TokenTemplate()

    @property
    def family(self) -> Family:
        """The family that the events have shown."""
        return self.tally.family

    @property
    def first_token_at(self) -> float | None:
        """When the first token of any channel was received."""
        return self.tally.first_token_at

    @property
    def finishing(self) -> bool:
        """Whether every choice has its finish reason."""
        return self.tally.finishing

    @property
    def response_id(self) -> str | None:
        """The response id that the upstream stated."""
        return self.tally.response_id

    @property
    def sequence(self) -> int | None:
        """The last `sequence_number`."""
        return self.tally.sequence

    def token(self, event: bytes, at: float) -> bool:
        """Count a whole raw event, if it matches the token template."""
        template = self._template
        if not template.matches(event):
            return False
        tally = self.tally
        tally.counted += 1
        channel = template.channel
        if channel == TEXT:
            tally.text += 1
        elif channel == REASONING:
            tally.reasoning += 1
        else:
            tally.tool += 1
        gap = at - tally.last_token_at
        if gap > tally.longest_gap:  # noqa: PLR1730 a call of `max` costs more than all the rest
            tally.longest_gap = gap
        tally.last_token_at = at
        return True

    def event(self, name: bytes, data: bytes, at: float) -> EventKind:
        """Read one whole event with data, and learn the token template from it."""
        if self._checks_left:
            self._settle(data)
        format_reader = self._format
        kind = format_reader.read(name, data, at)
        if format_reader.plain and self._template.worth_learning:
            self._template.learn(name, data, format_reader.plain, self.tally.counted)
        return kind

    def oversized(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Read an event that was too long to buffer."""
        return self._format.glimpse(name, head, tail, at)

    def stray(self, text: bytes, at: float) -> EventKind:  # noqa: ARG002 the protocol's signature
        """Classify text that is not an SSE field."""
        try:
            document = msgspec.json.decode(text)
        except UNREADABLE:
            document = None if _STRAY_ERROR.match(text) is None else {"error": None}
        if isinstance(document, list) and document:
            document = document[0]
        if isinstance(document, dict) and ("error" in document or document.get("type") == "error"):
            return self._format.failed(document.get("error"))
        return EventKind.PING

    def finished(self) -> bool:
        """Whether the stream is complete if its body ends cleanly here."""
        return self._format.finished() or 0 < self._checks_left < _MAX_CHECKS

    def _settle(self, data: bytes) -> None:
        family = family_of(data)
        if family is None and is_foreign(data):
            self._checks_left -= 1
            family = None if self._checks_left else Family.UNKNOWN
        if family:
            self._checks_left = 0
        if family and family is not self._format.family:
            # Events so far were read in the wrong format: they were not tokens.
            self.tally.first_token_at = None
            self._format = _FORMAT_READERS[family](self.tally, self._format.choices)


def reader_for(family: Family, choices: int = 1) -> StreamReader:
    """Return a reader for a stream of a route of this family with so many choices."""
    return StreamReader(family, choices)


def read_ends(ends: bytes) -> Tally:
    """Read usage and model from the beginning and the end of a response of unknown family."""
    tally = Tally()
    Unknown(tally).ends(ends)
    return tally


def read_body(family: Family, body: bytes) -> Tally:
    """Meter a response that was not streamed; a malformed one leaves the tally empty."""
    shown_family = Family.GEMINI if body.lstrip()[:1] == b"[" else family_of(body)
    tally = Tally()
    format_reader = _FORMAT_READERS[shown_family or family](tally)
    try:
        format_reader.body(body)
    except UNREADABLE:
        tally.malformed += 1
    return tally
