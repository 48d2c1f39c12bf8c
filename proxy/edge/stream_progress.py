"""The progress of a stream: its stage, its figures, and an estimated percentage."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from proxy.meter.tally import pace, time_to_first_token

if TYPE_CHECKING:
    from proxy.meter.tally import Tally
    from proxy.record import RequestRecord

_REMEMBERED = 32
_ENOUGH = 5
"""The number of answers from which a model's mean is used."""
_MOST_MODELS = 500
_MOST_PERCENT = 99.0
"""100 is reported only when the stream has ended."""


class LengthHistory:
    """The lengths of each model's latest answers, in events with tokens."""

    def __init__(self) -> None:
        self._counts: dict[str, deque[int]] = {}

    def add(self, record: RequestRecord, tally: Tally) -> None:
        """Add an ended answer."""
        if not tally.counted or not tally.finishing or not record.model:
            return
        if record.model not in self._counts and len(self._counts) >= _MOST_MODELS:
            del self._counts[next(iter(self._counts))]
        self._counts.setdefault(record.model, deque(maxlen=_REMEMBERED)).append(tally.counted)

    def expected(self, model: str) -> float | None:
        """Return the mean; None if answers are too few, or differ too much."""
        counts = self._counts.get(model, ())
        if len(counts) < _ENOUGH:
            return None
        mean = sum(counts) / len(counts)
        spread = (sum((count - mean) ** 2 for count in counts) / len(counts)) ** 0.5
        return mean if spread <= mean / 2 else None


class MeasuredRequest(Protocol):
    """The request whose progress is measured."""

    @property
    def record(self) -> RequestRecord:
        """The request's record."""

    @property
    def tally(self) -> Tally:
        """The counts of its answer."""

    @property
    def max_output(self) -> int:
        """The maximum of output tokens that it sets; 0 if none."""

    def queue_position(self) -> int:
        """Return its position in the queue for a slot; 0 if it does not wait."""


class StreamProgress:
    """The progress figures of one stream."""

    def __init__(self, context: MeasuredRequest, history: LengthHistory) -> None:
        self._context = context
        self._history = history
        self._percent = 0.0

    def fields(self) -> dict[str, str | bytes]:
        """Return the progress as fields of the log's header."""
        return {"progress": msgspec.json.encode(self.progress())}

    def progress(self) -> dict[str, Any]:
        """Return the figures of a progress frame."""
        context = self._context
        record, tally = context.record, context.tally
        elapsed = (record.ended_at or time.monotonic()) - record.started_at
        token_pace = pace(tally)
        figures: dict[str, Any] = {
            "stage": self.stage(),
            "elapsed_seconds": round(elapsed, 3),
            "tokens": tally.counted,
            "tokens_per_second": round(token_pace[1], 2) if token_pace else None,
        }
        if figures["stage"] == "queued" and (place := context.queue_position()):
            figures["place"] = place
        if (expected := self._expected()) and tally.counted:
            percent = min(_MOST_PERCENT, 100 * tally.counted / expected)
            self._percent = max(self._percent, percent)
            figures["percent"] = round(self._percent, 1)
            if token_pace and self._percent < _MOST_PERCENT:
                figures["left_seconds"] = round((expected - tally.counted) * token_pace[0], 1)
        return figures

    def _expected(self) -> float | None:
        """Estimate the answer's tokens: its model's mean, at most the request's maximum.

        None if neither is known.
        """
        limit, mean = self._context.max_output, self._history.expected(self._context.record.model)
        return min(mean, limit) if mean and limit else mean or limit or None

    def stage(self) -> str:
        """Return `queued`, `connecting`, `waiting`, `thinking`, `generating` or `ended`."""
        record, tally = self._context.record, self._context.tally
        if record.ended_at is not None:
            return "ended"
        if record.called_at is None:
            return "queued"
        if record.connected_at is None:
            return "connecting"
        if not tally.counted:
            return "waiting"
        only_reasoning = tally.reasoning and not (tally.text or tally.tool or tally.other)
        return "thinking" if only_reasoning else "generating"

    def final(self) -> dict[str, Any]:
        """Return the figures of an ended stream; unknown ones are omitted."""
        record, tally = self._context.record, self._context.tally
        usage, token_pace, first = tally.usage, pace(tally), time_to_first_token(record, tally)
        figures = {
            "elapsed_seconds": round(record.duration, 3),
            "queue_seconds": round(record.queue_seconds, 3),
            "ttft_seconds": None if first is None else round(first, 3),
            "tokens": tally.counted,
            "tokens_per_second": round(token_pace[1], 2) if token_pace else None,
            "input_tokens": usage.input_total if usage else None,
            "output_tokens": usage.output_total if usage else None,
            "finish_reason": tally.finish_reason or None,
        }
        return {name: value for name, value in figures.items() if value is not None}
