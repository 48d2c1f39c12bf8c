"""The limits of keys: who is refused, what is left, and the store that counts."""

from __future__ import annotations

from monitoring.generate.panels import Panel, Query, lines, states
from monitoring.generate.queries import HERE, per_second, quantile

KEY = f'{HERE}, key=~"$key"'


def panels() -> list[Panel]:
    """Refusals, what is left, budgets, and how the store fares."""
    unchecked = "sluice_limits_unchecked_requests_total"
    left, budget = "sluice_key_budget_remaining_usd", "sluice_key_budget_usd"
    return [
        lines(
            "Limited requests",
            "Refused with a 429 per second, by the limit that said no.",
            Query(
                per_second("sluice_limited_requests_total", KEY, "key, limit"), "{{key}}: {{limit}}"
            ),
            unit="reqps",
        ),
        lines(
            "Left of limits",
            "Requests and tokens that a key may still take now, and streams it may begin.",
            Query(f"min by (key, limit) (sluice_key_remaining{{{KEY}}})", "{{key}}: {{limit}}"),
        ),
        lines(
            "Left of budgets",
            "Share of the budget that this period still has.",
            Query(f"min by (key) ({left}{{{KEY}}}) / min by (key) ({budget}{{{KEY}}})", "{{key}}"),
            unit="percentunit",
        ),
        states(
            "Store",
            "Away as soon as one worker does not reach it.",
            Query(f"min by (instance) (sluice_store_up{{{HERE}}})", "{{instance}}"),
            ("away", "reached"),
        ),
        lines(
            "Wait for the store",
            "What a request of a limited key waits before its upstream is called.",
            Query(quantile(0.5, "sluice_store_call_seconds", HERE), "p50"),
            Query(quantile(0.99, "sluice_store_call_seconds", HERE), "p99"),
            unit="s",
        ),
        lines(
            "Not checked",
            "Requests per second whose limits nobody checked, since the store was away.",
            Query(per_second(unchecked, KEY, "key"), "{{key}}"),
            unit="reqps",
        ),
    ]
