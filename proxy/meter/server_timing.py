"""Builds the `Server-Timing` header, and the comment with a stream's figures at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.meter.tally import decoded_tokens, pace, time_to_first_token

if TYPE_CHECKING:
    from proxy.meter.tally import Tally
    from proxy.record import RequestRecord


def server_timing(record: RequestRecord) -> str:
    """Return the value of `Server-Timing`, in milliseconds (W3C Server Timing, section 3).

    `queue` is the wait for a slot; `connect` the time from calling the upstream until the request
    was sent, retries included; `first-byte` the time from there to its first byte. Phases after the
    headers are omitted.
    """
    spans = {
        "queue": record.queue_seconds,
        "connect": _between(record.called_at, record.connected_at),
        "first-byte": _between(record.connected_at, record.first_byte_at),
    }
    entries = [f"{name};dur={span * 1000:.1f}" for name, span in spans.items() if span is not None]
    return ", ".join(entries)


def trailing_comment(record: RequestRecord, tally: Tally, cost: float | None = None) -> bytes:
    """Build an SSE comment with the stream's figures, for clients that asked for it.

    It has one line end and no empty line: a widely used browser client would call its handler
    without data. Times are seconds, `cost_usd` US dollars; unknown figures are omitted.
    """
    tokens, token_pace = decoded_tokens(tally), pace(tally)
    usage = tally.usage
    figures = {
        "ttft_seconds": _decimal(time_to_first_token(record, tally)),
        "input_tokens": usage.input_total if usage else None,
        "output_tokens": (usage.output_total if usage else None) or (tally.counted or None),
        "tokens_per_second": _decimal(token_pace[1], 2) if token_pace else None,
        "source": tokens[1] if tokens else None,
        "queue_seconds": _decimal(record.queue_seconds),
        "cost_usd": _decimal(cost, 9),
    }
    pairs = [f"{name}={value}" for name, value in figures.items() if value is not None]
    return f": sluice-figures {' '.join(pairs)}\n".encode()


def _between(start: float | None, end: float | None) -> float | None:
    return None if start is None or end is None else max(0.0, end - start)


def _decimal(value: float | None, digits: int = 6) -> str | None:
    """Format without an exponent and without trailing zeros."""
    if value is None:
        return None
    return f"{value:.{digits}f}".rstrip("0").rstrip(".")
