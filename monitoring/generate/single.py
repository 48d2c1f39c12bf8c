"""The dashboard of one model or one key: choose it above, and compare by the other."""

from __future__ import annotations

from monitoring.generate import shared
from monitoring.generate.document import dashboard as document
from monitoring.generate.panels import Document, Panel, Query, lines, stat, table
from monitoring.generate.queries import (
    ACCOUNT,
    FIRST_TOKEN,
    GEN_AI,
    MODEL,
    failed_share,
    in_time_shown,
    per_second,
    quantile,
)


def dashboard() -> Document:
    """The document that Grafana imports."""
    text = (
        "One model, or one client's key. Times and rates of streams are kept by model and "
        "upstream, not by key: choosing a key narrows requests, tokens and cost."
    )
    rows = {
        "": _headline(),
        "Requests": _requests(),
        "First token": [*shared.three_firsts(), _by_response_model()],
        "Tokens": shared.tokens(),
        "Outcomes": shared.outcomes(),
        "Cost": _cost(),
    }
    return document("sluice-model", "Sluice: one model or key", text, rows, ("model", "key"))


def _headline() -> list[Panel]:
    rate = "sluice_output_tokens_per_second"
    inputs = per_second("sluice_tokens_total", f'{ACCOUNT}, type="input"')
    outputs = per_second("sluice_tokens_total", f'{ACCOUNT}, type="output"')
    return [
        stat(
            "Requests",
            "That ended, per second.",
            Query(per_second("sluice_requests_total", ACCOUNT)),
            "reqps",
        ),
        stat(
            "Failed", "5xx, or broken after the 200.", Query(failed_share(ACCOUNT)), "percentunit"
        ),
        stat(
            "First token, median",
            "Any channel.",
            Query(quantile(0.5, FIRST_TOKEN, GEN_AI)),
            "s",
        ),
        stat("First token, p95", "Any channel.", Query(quantile(0.95, FIRST_TOKEN, GEN_AI)), "s"),
        stat("Tokens/s", "Of the median stream.", Query(quantile(0.5, rate, MODEL)), "short"),
        stat("Input tokens", "Per second.", Query(inputs), "short"),
        stat("Output tokens", "Per second.", Query(outputs), "short"),
        stat(
            "Cost",
            "US dollars per hour at the present rate.",
            Query(f"3600 * {per_second('sluice_cost_usd_total', ACCOUNT)}"),
            "currencyUSD",
        ),
    ]


def _requests() -> list[Panel]:
    return [
        lines(
            f"Requests by {label}",
            "Requests that ended, per second.",
            Query(per_second("sluice_requests_total", ACCOUNT, label), f"{{{{{label}}}}}"),
            unit="reqps",
            stacked=True,
        )
        for label in ("key", "model", "upstream")
    ]


def _by_response_model() -> Panel:
    return lines(
        "First token by the model that answered, p95",
        "An upstream may answer with another model than was asked for.",
        Query(
            quantile(0.95, FIRST_TOKEN, GEN_AI, "gen_ai_response_model"),
            "{{gen_ai_response_model}}",
        ),
        unit="s",
    )


def _cost() -> list[Panel]:
    return [
        lines(
            "Cost by key",
            "US dollars per hour at the present rate.",
            Query(f"3600 * {per_second('sluice_cost_usd_total', ACCOUNT, 'key')}", "{{key}}"),
            unit="currencyUSD",
            stacked=True,
        ),
        table(
            "Tokens by key and type",
            "In the time shown.",
            Query(in_time_shown("sluice_tokens_total", ACCOUNT, "key, type")),
            "short",
        ),
        shared.unpriced(),
    ]
