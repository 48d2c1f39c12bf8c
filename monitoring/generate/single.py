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
    PER_TOKEN,
    failed_share,
    in_time_shown,
    per_second,
    quantile,
)

OF_MODEL = "sluice_model_requests_total"


def dashboard() -> Document:
    """The document that Grafana imports."""
    text = (
        "One model, or one client's key. What is kept by model is not kept by key as well: a model "
        "narrows times, outcomes, token sizes and its cost, a key narrows requests, tokens and "
        "cost; first byte, first text and stalls are kept by upstream."
    )
    rows = {
        "": _headline(),
        "Requests": _requests(),
        "First token": [*shared.three_firsts(), _by_response_model()],
        "Tokens": shared.tokens(),
        "Outcomes": [_of_model(), *shared.outcomes()],
        "Cost": _cost(),
    }
    return document("sluice-model", "Sluice: one model or key", text, rows, ("model", "key"))


def _headline() -> list[Panel]:
    inputs = per_second("sluice_tokens_total", f'{ACCOUNT}, type="input"')
    outputs = per_second("sluice_tokens_total", f'{ACCOUNT}, type="output"')
    return [
        stat(
            "Requests of the model",
            "That ended, per second.",
            Query(per_second(OF_MODEL, MODEL)),
            "reqps",
        ),
        stat(
            "Failed, of the key",
            "5xx, or broken after the 200.",
            Query(failed_share(ACCOUNT)),
            "percentunit",
        ),
        stat(
            "First token, median",
            "Any channel.",
            Query(quantile(0.5, FIRST_TOKEN, GEN_AI)),
            "s",
        ),
        stat("First token, p95", "Any channel.", Query(quantile(0.95, FIRST_TOKEN, GEN_AI)), "s"),
        stat(
            "Tokens/s of the model",
            "Of the median stream.",
            Query(f"1 / {quantile(0.5, PER_TOKEN, GEN_AI)}"),
            "short",
        ),
        stat("Input tokens, of the key", "Per second.", Query(inputs), "short"),
        stat("Output tokens, of the key", "Per second.", Query(outputs), "short"),
        stat(
            "Cost of the key",
            "US dollars per hour at the present rate.",
            Query(f"3600 * {per_second('sluice_cost_usd_total', ACCOUNT)}"),
            "currencyUSD",
        ),
    ]


def _requests() -> list[Panel]:
    counters = {
        "key": ("sluice_requests_total", ACCOUNT),
        "model": (OF_MODEL, MODEL),
        "upstream": (OF_MODEL, MODEL),
    }
    return [
        lines(
            f"Requests by {label}",
            "Requests that ended, per second.",
            Query(per_second(*counter, label), f"{{{{{label}}}}}"),
            unit="reqps",
            stacked=True,
        )
        for label, counter in counters.items()
    ]


def _of_model() -> Panel:
    return lines(
        "How the model's requests ended",
        "Per second; nothing that failed after its 200 counts as complete.",
        Query(per_second(OF_MODEL, MODEL, "ended_by"), "{{ended_by}}"),
        unit="reqps",
        stacked=True,
        colors=shared.OUTCOMES,
    )


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
            "Cost by model",
            "US dollars per hour at the present rate.",
            Query(
                f"3600 * {per_second('sluice_model_cost_usd_total', MODEL, 'model')}", "{{model}}"
            ),
            unit="currencyUSD",
            stacked=True,
        ),
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
