"""What clients know of their own requests, under the names and labels of the metrics."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from proxy.record import Family
from tests.integration.expected_tally import ExpectedTally
from tests.integration.scraping import Scrape

PRICED = "priced"
"""The only model that has a price."""
PRICES = f'"{PRICED}" = {{ input = 250_000, output = 500_000 }}\n'
"""Dollars per million tokens: quarters and halves of a dollar add up without a rounding."""
PACED = ("paced", "uncounted")
"""Models whose tokens certainly arrive at two different times, and so have a rate."""

_MODEL = ("gen_ai_request_model",)
_KIND = ("gen_ai_operation_name", "gen_ai_provider_name", *_MODEL, "gen_ai_token_type")
_VIEWS = {
    "sluice_requests_total": ("route", "status", "ended_by"),
    "sluice_model_requests_total": ("model", "ended_by"),
    "gen_ai_server_request_duration_seconds_count": _MODEL,
    "gen_ai_server_time_to_first_token_seconds_count": _MODEL,
    "sluice_time_to_first_text_seconds_count": (),
    "gen_ai_server_time_per_output_token_seconds_count": _MODEL,
    "gen_ai_client_token_usage_count": _KIND,
    "gen_ai_client_token_usage_sum": _KIND,
    "sluice_tokens_total": ("type",),
    "sluice_token_events_total": ("model", "channel"),
    "sluice_tokens_after_client_left_total": ("model",),
    "sluice_requests_without_usage_total": ("model",),
    "sluice_cost_usd_total": (),
    "sluice_model_cost_usd_total": ("model",),
    "sluice_unpriced_requests_total": ("model",),
    "sluice_bytes_total": ("direction",),
    "sluice_malformed_events_total": (),
    "sluice_streams_in_flight": (),
    "sluice_requests_waiting": (),
}
"""Every metric that is compared, and the labels by which it is."""
_PACE = "gen_ai_server_time_per_output_token_seconds_count"
_OPERATIONS = {
    Family.CHAT: ("chat", "openai"),
    Family.RESPONSES: ("chat", "openai"),
    Family.COMPLETIONS: ("text_completion", "openai"),
    Family.MESSAGES: ("chat", "anthropic"),
    Family.GEMINI: ("generate_content", "gcp.gemini"),
}

Counts = Counter[tuple[str, ...]]


def counted(scrape: Scrape) -> Counts:
    """Reduce a scrape to those names and labels, without zeros, as in any `Counter`."""
    counts: Counter[Any] = Counter()
    for name, labels in _VIEWS.items():
        for own, value in scrape.by(name):
            if name != _PACE or own["gen_ai_request_model"] in PACED:
                counts[name, *(own[label] for label in labels)] += value  # type: ignore[assignment]
    return +counts


@dataclass
class KeyLedger:
    """What all clients know together."""

    counts: Counts = field(default_factory=Counter)

    def request(self, route: str, model: str, status: int, ended_by: str, size: int) -> None:
        """Record a request that has ended; `size` is that of its body, in bytes."""
        self.counts["sluice_requests_total", route, str(status), ended_by] += 1
        self.counts["sluice_model_requests_total", model, ended_by] += 1
        well = ended_by == "complete" and status < 400
        self.counts["gen_ai_server_request_duration_seconds_count", model if well else ""] += 1
        self.counts["sluice_bytes_total", "in"] += size

    def received(self, size: int) -> None:
        """Record how many bytes of an upstream's response reached the client."""
        self.counts["sluice_bytes_total", "out"] += size

    def answered(self, family: Family, model: str, told: ExpectedTally, *, late: int = 0) -> None:
        """Record an upstream's response; `late` token events came after the client had left."""
        for channel, events in told.events.items():
            self.counts["sluice_token_events_total", model, channel] += events
        if told.events:
            self.counts["gen_ai_server_time_to_first_token_seconds_count", model] += 1
        if told.events["text"]:
            self.counts["sluice_time_to_first_text_seconds_count",] += 1
        if model in PACED:
            self.counts[_PACE, model] += 1
        self.counts["sluice_malformed_events_total",] += told.unreadable
        self.counts["sluice_tokens_after_client_left_total", model] += late
        self._used(family, model, told.usage)

    def _used(self, family: Family, model: str, usage: dict[str, int]) -> None:
        if not usage:
            self.counts["sluice_requests_without_usage_total", model] += 1
            return
        for kind, tokens in usage.items():
            self.counts["sluice_tokens_total", kind] += tokens
        for kind in ("input", "output"):
            place = (*_OPERATIONS[family], model, kind)
            self.counts["gen_ai_client_token_usage_count", *place] += 1
            self.counts["gen_ai_client_token_usage_sum", *place] += usage[kind]
        if model == PRICED:
            cost = usage["input"] / 4 + usage["output"] / 2
            self.counts["sluice_cost_usd_total",] += cost  # type: ignore[assignment]
            self.counts["sluice_model_cost_usd_total", model] += cost  # type: ignore[assignment]
        else:
            self.counts["sluice_unpriced_requests_total", model] += 1
