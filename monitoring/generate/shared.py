"""Panels that both dashboards show, each under its own variables."""

from __future__ import annotations

from monitoring.generate.panels import Panel, Query, lines
from monitoring.generate.queries import (
    ACCOUNT,
    DURATION,
    EVENTS,
    FAILURES,
    FIRST_TOKEN,
    GEN_AI,
    MODEL,
    PER_TOKEN,
    TOKEN_TYPE,
    UPSTREAM,
    USAGE,
    per_second,
    quantile,
)

# Calm for what is well, warm for the caller's doing, red for what failed.
OUTCOMES = {
    "complete": "green",
    "client_left": "#8AB8FF",
    "rejected": "#808080",
    "limited": "#A352CC",
    "shed": "#B877D9",
    "drained": "#FADE2A",
    "slow_client": "#FFCB7D",
    "upstream_cut": "#C4162A",
    "error_event": "#F2495C",
    "connect_timeout": "#FF7383",
    "first_token_timeout": "#FF780A",
    "idle_timeout": "#FA6400",
    "total_timeout": "#E02F44",
    "failed": "#8F0000",
}


def three_firsts() -> list[Panel]:
    """The three meanings of time to first token, apart and together."""
    firsts = {
        "byte": ("sluice_time_to_first_byte_seconds", UPSTREAM),
        "token": (FIRST_TOKEN, GEN_AI),
        "text": ("sluice_time_to_first_text_seconds", UPSTREAM),
    }
    return [
        lines(
            f"First byte, token and text, {words}",
            "The upstream's first body byte; the first token of any channel, reasoning and tool "
            "calls included; the first text that a person sees.",
            *(
                Query(quantile(share, metric, labels), f"first {what}")
                for what, (metric, labels) in firsts.items()
            ),
            unit="s",
        )
        for share, words in ((0.5, "median"), (0.95, "p95"))
    ]


def tokens() -> list[Panel]:
    """How fast tokens come, and how many."""
    rate, gap = "sluice_output_tokens_per_second", "sluice_max_token_gap_seconds"
    return [
        lines(
            "Tokens per second of a stream",
            "Over the decode time, first token to last; `usage`: as the upstream stated them, "
            "`counted`: events that Sluice counted.",
            Query(quantile(0.5, rate, UPSTREAM, "source"), "median, {{source}}"),
            Query(quantile(0.05, rate, UPSTREAM, "source"), "slowest 5 %, {{source}}"),
        ),
        lines(
            "Time per output token",
            "Decode time per token after the first.",
            Query(quantile(0.5, PER_TOKEN, GEN_AI), "median"),
            Query(quantile(0.95, PER_TOKEN, GEN_AI), "p95"),
            unit="s",
        ),
        lines(
            "Longest stall within a stream",
            "Between two events with tokens.",
            Query(quantile(0.5, gap, UPSTREAM), "median"),
            Query(quantile(0.95, gap, UPSTREAM), "p95"),
            unit="s",
        ),
        lines(
            "Tokens by type",
            "Per second, as upstreams state them; input includes cached, output reasoning.",
            Query(per_second("sluice_tokens_total", ACCOUNT, "type"), "{{type}}"),
        ),
        lines(
            "Events with tokens, by channel",
            "Per second, as Sluice counts them.",
            Query(per_second("sluice_token_events_total", EVENTS, "channel"), "{{channel}}"),
            stacked=True,
        ),
        lines(
            "Tokens of one request",
            "As upstreams state them.",
            Query(quantile(0.5, USAGE, GEN_AI, TOKEN_TYPE), f"{{{{{TOKEN_TYPE}}}}} median"),
            Query(quantile(0.95, USAGE, GEN_AI, TOKEN_TYPE), f"{{{{{TOKEN_TYPE}}}}} p95"),
        ),
    ]


def outcomes() -> list[Panel]:
    """How requests ended, and what was lost on the way."""
    return [
        lines(
            "How requests ended",
            "Per second; nothing that failed after its 200 counts as complete.",
            Query(per_second("sluice_requests_total", ACCOUNT, "ended_by"), "{{ended_by}}"),
            unit="reqps",
            stacked=True,
            colors=OUTCOMES,
        ),
        lines(
            "Status codes",
            "As they went to the client, per second; 499: it left before there was one.",
            Query(per_second("sluice_requests_total", ACCOUNT, "status"), "{{status}}"),
            unit="reqps",
            stacked=True,
        ),
        lines(
            "Failures by kind",
            "Per second.",
            Query(
                per_second(f"{DURATION}_count", FAILURES, "error_type"),
                "{{error_type}}",
            ),
            unit="reqps",
        ),
        lines(
            "Duration",
            "From arrival to end, streamed or not, of what did not fail.",
            Query(quantile(0.5, DURATION, GEN_AI), "median"),
            Query(quantile(0.95, DURATION, GEN_AI), "p95"),
            unit="s",
        ),
        lines(
            "Tokens for nobody",
            "Events with tokens per second that came when the client had gone.",
            Query(per_second("sluice_tokens_after_client_left_total", MODEL), "after leaving"),
        ),
        lines(
            "What could not be read",
            "Per second: answers without usage, and events that were passed on unread.",
            Query(per_second("sluice_requests_without_usage_total", MODEL), "without usage"),
            Query(per_second("sluice_malformed_events_total", UPSTREAM), "malformed events"),
        ),
    ]


def unpriced() -> Panel:
    """Which models the cost leaves out."""
    return lines(
        "Requests without a price",
        "Per second; their cost is missing above. Name the model in SLUICE_PRICES.",
        Query(per_second("sluice_unpriced_requests_total", MODEL, "model"), "{{model}}"),
        unit="reqps",
    )
