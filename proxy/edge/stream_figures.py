"""How far a stream is: its stage, its figures, and a percentage where there is ground for one."""

from __future__ import annotations

import time
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from proxy.meter.tokens import pace, time_to_first_token

if TYPE_CHECKING:
    from proxy.meter.tokens import Tally
    from proxy.record import RequestRecord

_REMEMBERED = 32
_ENOUGH = 5
"""Answers of a model before its mean says anything."""
_MOST_MODELS = 500
_MOST_PERCENT = 99.0
"""100 is said when the stream has ended, not before."""


class History:
    """How long each model's latest answers were, in events with tokens."""

    def __init__(self) -> None:
        self._counts: dict[str, deque[int]] = {}

    def add(self, record: RequestRecord, tally: Tally) -> None:
        """An answer has ended."""
        if not tally.counted or not tally.finishing or not record.model:
            return
        if record.model not in self._counts and len(self._counts) >= _MOST_MODELS:
            del self._counts[next(iter(self._counts))]
        self._counts.setdefault(record.model, deque(maxlen=_REMEMBERED)).append(tally.counted)

    def expected(self, model: str) -> float | None:
        """The mean; None where too few answers are known, or they differ too much to tell."""
        counts = self._counts.get(model, ())
        if len(counts) < _ENOUGH:
            return None
        mean = sum(counts) / len(counts)
        spread = (sum((count - mean) ** 2 for count in counts) / len(counts)) ** 0.5
        return mean if spread <= mean / 2 else None


class MeasuredRequest(Protocol):
    """What the figures are taken from: a request while it is served."""

    @property
    def record(self) -> RequestRecord:
        """What is known of it."""

    @property
    def tally(self) -> Tally:
        """What has been counted of its answer."""

    @property
    def max_output(self) -> int:
        """The most output tokens that it asks for; 0: it does not say."""

    def place_in_line(self) -> int:
        """Which turn it has in the waiting line; 0 if it does not wait."""


class StreamFigures:
    """The figures of one stream, as its readers are told them."""

    def __init__(self, context: MeasuredRequest, history: History) -> None:
        self._context = context
        self._history = history
        self._percent = 0.0

    def fields(self) -> dict[str, str | bytes]:
        """What the log's header says of the stream by now."""
        return {"progress": msgspec.json.encode(self.progress())}

    def progress(self) -> dict[str, Any]:
        """The figures of a progress frame."""
        context = self._context
        record, tally = context.record, context.tally
        elapsed = (record.ended_at or time.monotonic()) - record.started_at
        found = pace(tally)
        said: dict[str, Any] = {
            "stage": self.stage(),
            "elapsed_seconds": round(elapsed, 3),
            "tokens": tally.counted,
            "tokens_per_second": round(found[1], 2) if found else None,
        }
        if said["stage"] == "queued" and (place := context.place_in_line()):
            said["place"] = place
        if (expected := self._expected()) and tally.counted:
            percent = min(_MOST_PERCENT, 100 * tally.counted / expected)
            self._percent = max(self._percent, percent)
            said["percent"] = round(self._percent, 1)
            if found and self._percent < _MOST_PERCENT:
                said["left_seconds"] = round((expected - tally.counted) * found[0], 1)
        return said

    def _expected(self) -> float | None:
        """How many tokens it will come to: as its model's answers did, and no more than asked for.

        None where neither is known.
        """
        most, mean = self._context.max_output, self._history.expected(self._context.record.model)
        return min(mean, most) if mean and most else mean or most or None

    def stage(self) -> str:
        """`queued`, `connecting`, `waiting`, `thinking`, `generating` or `ended`."""
        record, tally = self._context.record, self._context.tally
        if record.ended_at is not None:
            return "ended"
        if record.called_at is None:
            return "queued"
        if record.connected_at is None:
            return "connecting"
        if not tally.counted:
            return "waiting"
        only_thought = tally.reasoning and not (tally.text or tally.tool or tally.other)
        return "thinking" if only_thought else "generating"

    def final(self) -> dict[str, Any]:
        """The figures of a stream that has ended; what is not known is left out."""
        record, tally = self._context.record, self._context.tally
        usage, found, first = tally.usage, pace(tally), time_to_first_token(record, tally)
        said = {
            "elapsed_seconds": round(record.duration, 3),
            "queue_seconds": round(record.queue_seconds, 3),
            "ttft_seconds": None if first is None else round(first, 3),
            "tokens": tally.counted,
            "tokens_per_second": round(found[1], 2) if found else None,
            "input_tokens": usage.input_total if usage else None,
            "output_tokens": usage.output_total if usage else None,
            "finish_reason": tally.finish_reason or None,
        }
        return {name: value for name, value in said.items() if value is not None}
