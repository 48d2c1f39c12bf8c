"""The counts of one answer, and the figures computed from them.

Times are seconds of `time.monotonic()`, durations are seconds. Absent is None, never 0.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Literal

from proxy.record import Family

if TYPE_CHECKING:
    from proxy.record import RequestRecord

Source = Literal["usage", "counted"]

# The channels of an answer, as bits: one event may carry several.
TEXT, REASONING, TOOL, OTHER = 1, 2, 4, 8


@dataclass(slots=True)
class Usage:
    """Token counts as the upstream states them."""

    input: int | None = None
    output: int | None = None
    reasoning: int | None = None
    cached: int | None = None
    cache_write: int | None = None
    input_beside: int | None = None
    """Input tokens stated in addition to `input`: Anthropic's cache, Gemini's tool use."""
    output_beside: int | None = None
    """Output tokens stated in addition to `output`: Gemini's and xAI's reasoning."""

    @property
    def input_total(self) -> int | None:
        """All input tokens, including cached ones, for every upstream."""
        return _sum(self.input, self.input_beside)

    @property
    def output_total(self) -> int | None:
        """All output tokens, including reasoning, for every upstream."""
        return _sum(self.output, self.output_beside)

    def update(self, later: Usage) -> None:
        """Overwrite with the counts of a later, cumulative statement; absent ones stay."""
        for name in _COUNTS:
            value = getattr(later, name)
            if value is not None:
                setattr(self, name, value)

    def raise_to(self, later: Usage) -> None:
        """Do as `update`, but keep larger counts: a later 0 is a filler, not a correction."""
        for name in _COUNTS:
            value, now = getattr(later, name), getattr(self, name)
            if value is not None and (now is None or value > now):
                setattr(self, name, value)


_COUNTS = tuple(field.name for field in fields(Usage))


@dataclass(slots=True)
class Tally:
    """The counts of one answer; of events, not of tokens."""

    family: Family = Family.UNKNOWN
    counted: int = 0
    """Events with a token of any channel."""
    text: int = 0
    reasoning: int = 0
    tool: int = 0
    other: int = 0
    """Audio, images and other output of a model."""
    first_token_at: float | None = None
    first_text_at: float | None = None
    last_token_at: float = 0.0
    longest_gap: float = 0.0
    counted_when_left: int | None = None
    """`counted` when the client left; None if it did not."""

    usage: Usage | None = None
    model: str = ""
    """The model that answered, as the upstream states it."""
    response_id: str | None = None
    sequence: int | None = None
    finish_reason: str = ""
    finishing: bool = False
    """Whether every choice has its finish reason."""
    error: str = ""
    """The kind of the upstream's error event, such as `overloaded_error`."""
    malformed: int = 0

    def count(self, channels: int, at: float) -> None:
        """Count one event with tokens of these channels."""
        self.counted += 1
        if channels & TEXT:
            self.text += 1
            if self.first_text_at is None:
                self.first_text_at = at
        if channels != TEXT:
            self.reasoning += 1 if channels & REASONING else 0
            self.tool += 1 if channels & TOOL else 0
            self.other += 1 if channels & OTHER else 0
        self.progressed(at)

    def progressed(self, at: float) -> None:
        """Note output whose tokens cannot be counted."""
        if self.first_token_at is None:
            self.first_token_at = at
        elif at - self.last_token_at > self.longest_gap:
            self.longest_gap = at - self.last_token_at
        self.last_token_at = at

    def stated(self, usage: Usage | None) -> None:
        """Set the usage; later counts replace earlier ones."""
        if usage is None:
            return
        if self.usage is None:
            self.usage = usage
        else:
            self.usage.update(usage)

    def client_left(self) -> None:
        """Note that the client left."""
        if self.counted_when_left is None:
            self.counted_when_left = self.counted


def _sum(inside: int | None, beside: int | None) -> int | None:
    if inside is None and not beside:
        return None
    return (inside or 0) + (beside or 0)


def time_to_first_byte(record: RequestRecord) -> float | None:
    """Return the time from the request's arrival to the upstream's first body byte."""
    return _since(record.started_at, record.first_byte_at)


def time_to_first_token(record: RequestRecord, tally: Tally) -> float | None:
    """Return the time from the request's arrival to the first token of any channel."""
    return _since(record.started_at, tally.first_token_at) if tally.counted else None


def time_to_first_text(record: RequestRecord, tally: Tally) -> float | None:
    """Return the time from the request's arrival to the first visible text."""
    return _since(record.started_at, tally.first_text_at)


def decode_time(tally: Tally) -> float | None:
    """Return the time from the first token to the last; None if it is zero."""
    if tally.first_token_at is None or tally.counted < 2:
        return None
    return tally.last_token_at - tally.first_token_at or None


def longest_gap(tally: Tally) -> float | None:
    """Return the longest time between two events with tokens; None with fewer than two."""
    return tally.longest_gap if tally.counted > 1 else None


def decoded_tokens(tally: Tally) -> tuple[int, Source] | None:
    """Return the tokens generated within the decode time, and the source of the count.

    Hidden reasoning was generated before the first token, so it is excluded: it would inflate the
    tokens per second many times. Usage that states fewer tokens than there were events is not
    final, as in a truncated stream.
    """
    usage = tally.usage
    if usage is not None and usage.output_total:
        hidden = (usage.reasoning or 0) if not tally.reasoning else 0
        if usage.output_total - hidden >= tally.counted:
            return usage.output_total - hidden, "usage"
    return (tally.counted, "counted") if tally.counted else None


def pace(tally: Tally) -> tuple[float, float, Source] | None:
    """Return seconds per output token, output tokens per second, and the count's source.

    Both over the decode time, in which all tokens but the first were generated (OpenTelemetry GenAI
    semantic conventions, `gen_ai.server.time_per_output_token`).
    """
    seconds, tokens = decode_time(tally), decoded_tokens(tally)
    if seconds is None or tokens is None or tokens[0] < 2:
        return None
    after_first = tokens[0] - 1
    return seconds / after_first, after_first / seconds, tokens[1]


def tokens_after_leaving(tally: Tally) -> int:
    """Return the number of events with tokens received after the client had left."""
    return 0 if tally.counted_when_left is None else tally.counted - tally.counted_when_left


def _since(start: float, end: float | None) -> float | None:
    return None if end is None else max(0.0, end - start)
