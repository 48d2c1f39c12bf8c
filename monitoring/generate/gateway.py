"""The main dashboard: the whole gateway, from what callers see down to its own health."""

from __future__ import annotations

from monitoring.generate import itself, keys, resumable, shared, upstreams
from monitoring.generate.document import dashboard as document
from monitoring.generate.panels import (
    GREEN,
    RED,
    YELLOW,
    Document,
    Panel,
    Query,
    heatmap,
    lines,
    stat,
    table,
)
from monitoring.generate.queries import (
    ACCOUNT,
    EVENTS,
    FIRST_TOKEN,
    GEN_AI,
    HERE,
    MODEL,
    UPSTREAM,
    buckets,
    failed_share,
    in_time_shown,
    per_second,
    quantile,
)

_REFUSED = 'ended_by=~"shed|drained|rejected|limited"'


def dashboard() -> Document:
    """The document that Grafana imports."""
    text = "Traffic, first tokens, outcomes, saturation, upstreams, cost and Sluice's own health."
    rows = {
        "": _headline(),
        "Traffic": _traffic(),
        "First token": _first_token(),
        "Tokens": shared.tokens(),
        "Outcomes": shared.outcomes(),
        "Saturation": _saturation(),
        "Upstreams": upstreams.panels(),
        "Cost": _cost(),
        "Keys": keys.panels(),
        "Resumable streams": resumable.panels(),
        "Sluice itself": itself.panels(),
    }
    return document("sluice", "Sluice", text, rows)


def _headline() -> list[Panel]:
    in_flight = Query(f"sum(sluice_streams_in_flight{{{HERE}}})")
    rate = Query(per_second("sluice_requests_total", ACCOUNT))
    tokens = Query(per_second("sluice_token_events_total", EVENTS))
    first = Query(quantile(0.95, FIRST_TOKEN, GEN_AI))
    failed = Query(failed_share(ACCOUNT))
    used = Query(f"max(sluice_streams_in_flight{{{HERE}}} / on (instance) sluice_slots{{{HERE}}})")
    out = Query(f"sum(1 - sluice_upstream_healthy{{{UPSTREAM}}})")
    cost = Query(f"3600 * {per_second('sluice_cost_usd_total', ACCOUNT)}")
    return [
        stat("In flight", "Requests that hold a slot.", in_flight, "short"),
        stat("Requests", "Requests that ended, per second.", rate, "reqps"),
        stat("Token events", "Events with tokens per second, as counted.", tokens, "short"),
        stat("First token, p95", "Any channel.", first, "s", ((1, YELLOW), (2.5, RED))),
        stat(
            "Failed",
            "Answered with a 5xx, or broken after the 200.",
            failed,
            "percentunit",
            ((0.01, YELLOW), (0.05, RED)),
        ),
        stat(
            "Slots used",
            "Of the fullest instance.",
            used,
            "percentunit",
            ((0.75, YELLOW), (0.9, RED)),
        ),
        stat("Upstreams out", "Taken out by any worker.", out, "short", ((1, RED),)),
        stat("Cost", "US dollars per hour at the present rate.", cost, "currencyUSD"),
    ]


def _traffic() -> list[Panel]:
    return [
        lines(
            "Requests by route",
            "Requests that ended, per second.",
            Query(per_second("sluice_requests_total", ACCOUNT, "route"), "{{route}}"),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Streams",
            "Requests that hold a slot, that wait for one, and how many slots there are.",
            Query(f"sum(sluice_streams_in_flight{{{HERE}}})", "in flight"),
            Query(f"sum(sluice_requests_waiting{{{HERE}}})", "waiting"),
            Query(f"sum(sluice_slots{{{HERE}}})", "slots"),
            colors={"in flight": GREEN, "waiting": "orange", "slots": "#808080"},
        ),
        lines(
            "Bytes of bodies",
            "Requests in, answers out.",
            Query(per_second("sluice_bytes_total", UPSTREAM, "direction"), "{{direction}}"),
            unit="Bps",
        ),
    ]


def _first_token() -> list[Panel]:
    return [
        *shared.three_firsts(),
        heatmap(
            "Time to first token, all streams",
            "How many streams had their first token after which time.",
            Query(buckets(FIRST_TOKEN, GEN_AI), "{{le}}"),
            "s",
        ),
        lines(
            "First token by model, p95",
            "The models side by side.",
            Query(
                quantile(0.95, FIRST_TOKEN, GEN_AI, "gen_ai_request_model"),
                "{{gen_ai_request_model}}",
            ),
            unit="s",
        ),
        lines(
            "First byte by upstream, p95",
            "A slow upstream stands out here.",
            Query(
                quantile(0.95, "sluice_time_to_first_byte_seconds", UPSTREAM, "upstream"),
                "{{upstream}}",
            ),
            unit="s",
        ),
    ]


def _saturation() -> list[Panel]:
    wait = "sluice_queue_wait_seconds"
    return [
        lines(
            "Slots used",
            "From 90 % on, callers will soon wait.",
            Query(
                f"sluice_streams_in_flight{{{HERE}}} / on (instance) sluice_slots{{{HERE}}}",
                "{{instance}}",
            ),
            unit="percentunit",
            most=1,
        ),
        lines(
            "Wait for a slot",
            "Of all that were not refused.",
            Query(quantile(0.5, wait, HERE), "p50"),
            Query(quantile(0.95, wait, HERE), "p95"),
            Query(quantile(0.99, wait, HERE), "p99"),
            unit="s",
        ),
        lines(
            "Refused",
            "Per second: for want of slots, at a drain, and for what was wrong with the request.",
            Query(
                per_second(
                    "sluice_requests_total",
                    f'{HERE}, ended_by=~"shed|drained|rejected|limited"',
                    "ended_by",
                ),
                "{{ended_by}}",
            ),
            unit="reqps",
            stacked=True,
        ),
    ]


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
        table(
            "Cost by key and upstream",
            "US dollars in the time shown.",
            Query(in_time_shown("sluice_cost_usd_total", ACCOUNT, "key, upstream")),
            "currencyUSD",
        ),
        shared.unpriced(),
    ]
