"""The instruments of key limits and of the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from proxy.meter.instruments import Maker

_STORE = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1)


class KeyInstruments:
    """Refusals by limits, what is left of them, and the store's calls."""

    def __init__(self, make: Maker) -> None:
        self.limited = make.counter(
            "sluice_limited_requests_total",
            "Requests that a limit of their key refused, by key and limit.",
            "key",
            "limit",
        )
        self.uncounted = make.counter(
            "sluice_limits_unchecked_requests_total",
            "Requests of limited keys that came while the store was unavailable.",
            "key",
        )
        self.remaining = make.gauge(
            "sluice_key_remaining",
            "Requests, tokens and streams that a key has left, by limit.",
            "livemin",
            "key",
            "limit",
        )
        self.budget = make.gauge(
            "sluice_key_budget_usd", "A key's budget in US dollars.", "livemin", "key"
        )
        self.budget_left = make.gauge(
            "sluice_key_budget_remaining_usd",
            "What is left of a key's budget in this period, in US dollars.",
            "livemin",
            "key",
        )
        self.store_seconds = make.histogram(
            "sluice_store_call_seconds",
            "How long a request waited for the store, by result.",
            _STORE,
            "result",
        )
        self.store_up = make.gauge(
            "sluice_store_up",
            "1 while every worker that needs the store reaches it, 0 if one does not.",
            "livemin",
        )
