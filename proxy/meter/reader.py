"""The reader that the relay is given: it tells the family by the stream itself and counts it."""

from __future__ import annotations

import re

import msgspec

from proxy.meter.chat import Chat
from proxy.meter.completions import Completions
from proxy.meter.format_reader import UNREADABLE, FormatReader
from proxy.meter.gemini import Gemini
from proxy.meter.messages import Messages
from proxy.meter.responses import Responses
from proxy.meter.sniff import family_of, is_foreign
from proxy.meter.token_template import TokenTemplate
from proxy.meter.tokens import REASONING, TEXT, Tally
from proxy.meter.unknown import Unknown
from proxy.record import EventKind, Family

_FORMAT_READERS: dict[Family, type[FormatReader]] = {
    dialect.family: dialect for dialect in (Chat, Responses, Completions, Messages, Gemini, Unknown)
}
_STRAY_ERROR = re.compile(rb'\s*\[?\s*\{\s*"(?:error"\s*:|type"\s*:\s*"error")')
_MOST_LOOKS = 8
"""Events of no family's shape after which the route is no longer believed."""


class StreamReader:
    """Reads the events of one stream; `proxy.record.Reader` says what each method means."""

    __slots__ = ("_format", "_looks", "_template", "tally")

    def __init__(self, family: Family, choices: int = 1) -> None:
        self.tally = Tally()
        self._format = _FORMAT_READERS[family](self.tally, choices)
        self._looks = _MOST_LOOKS
        self._template = TokenTemplate()

    @property
    def family(self) -> Family:
        """The family that the events themselves show."""
        return self.tally.family

    @property
    def first_token_at(self) -> float | None:
        """When the first token of any channel came."""
        return self.tally.first_token_at

    @property
    def finishing(self) -> bool:
        """Whether every choice has had its finish reason."""
        return self.tally.finishing

    @property
    def response_id(self) -> str | None:
        """The id the upstream gave the answer."""
        return self.tally.response_id

    @property
    def sequence(self) -> int | None:
        """The last `sequence_number`."""
        return self.tally.sequence

    def token(self, event: bytes, at: float) -> bool:
        """Take in a whole event as it stands in the stream, if it is one more plain token."""
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
        """Take in one whole event that carries data; see what `token` could tell of the next."""
        if self._looks:
            self._settle(data)
        format_reader = self._format
        kind = format_reader.read(name, data, at)
        if format_reader.plain and self._template.worth_learning:
            self._template.learn(name, data, format_reader.plain, self.tally.counted)
        return kind

    def oversized(self, name: bytes, head: bytes, tail: bytes, at: float) -> EventKind:
        """Take in an event too long to hold."""
        return self._format.glimpse(name, head, tail, at)

    def stray(self, text: bytes, at: float) -> EventKind:  # noqa: ARG002 the relay hands it to all
        """Judge text that is no SSE field."""
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
        """Whether a clean end of body here is a true end."""
        return self._format.finished() or 0 < self._looks < _MOST_LOOKS

    def _settle(self, data: bytes) -> None:
        family = family_of(data)
        if family is None and is_foreign(data):
            self._looks -= 1
            family = None if self._looks else Family.UNKNOWN
        if family:
            self._looks = 0
        if family and family is not self._format.family:
            # What came so far was read in the wrong words: it was no token.
            self.tally.first_token_at = None
            self._format = _FORMAT_READERS[family](self.tally, self._format.choices)


def reader_for(family: Family, choices: int = 1) -> StreamReader:
    """A reader for a stream from a route of this family that asked for so many choices."""
    return StreamReader(family, choices)


def read_ends(ends: bytes) -> Tally:
    """The usage and the model that the two ends of an answer of no known family state."""
    tally = Tally()
    Unknown(tally).ends(ends)
    return tally


def read_body(family: Family, body: bytes) -> Tally:
    """Meter an answer that was not streamed; what cannot be read leaves the tally empty."""
    found = Family.GEMINI if body.lstrip()[:1] == b"[" else family_of(body)
    tally = Tally()
    format_reader = _FORMAT_READERS[found or family](tally)
    try:
        format_reader.body(body)
    except UNREADABLE:
        tally.malformed += 1
    return tally
