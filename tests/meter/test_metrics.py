from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from proxy.meter.metrics import Metrics
from proxy.meter.tally import REASONING, TEXT, TOOL, Tally, Usage
from proxy.record import EndedBy, Family
from tests.meter.requests_made import answered, counted

GEN_AI = {
    "gen_ai_operation_name": "chat",
    "gen_ai_provider_name": "openai",
    "gen_ai_request_model": "m-1",
    "gen_ai_response_model": "m-1-2026",
}
MODEL = {"model": "m-1", "upstream": "a"}
ACCOUNT = {"key": "shop", "upstream": "a"}
STREAM = {"route": "/v1/chat/completions", "upstream": "a"}


class Counted:
    """Metrics in a registry of their own, and what they show."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.metrics = Metrics(self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        """One sample; None if there is none."""
        return self.registry.get_sample_value(name, labels)

    def names(self) -> set[str]:
        """The metrics that have samples."""
        return {metric.name for metric in self.registry.collect() if metric.samples}


@pytest.fixture
def seen() -> Counted:
    """Nothing counted yet."""
    return Counted()


@pytest.mark.parametrize(
    ("name", "labels", "total"),
    [
        ("gen_ai_server_time_to_first_token_seconds", GEN_AI, 1.5),
        ("sluice_time_to_first_byte_seconds", STREAM, 1.0),
        ("sluice_time_to_first_text_seconds", STREAM, 1.5),
        ("gen_ai_server_time_per_output_token_seconds", GEN_AI, 0.5),
        ("sluice_output_tokens_per_second", {**STREAM, "source": "usage"}, 2.0),
        ("sluice_max_token_gap_seconds", STREAM, 0.5),
        ("gen_ai_server_request_duration_seconds", {**GEN_AI, "error_type": ""}, 5.0),
        ("gen_ai_client_token_usage", {**GEN_AI, "gen_ai_token_type": "input"}, 7.0),
        ("gen_ai_client_token_usage", {**GEN_AI, "gen_ai_token_type": "output"}, 4.0),
        ("sluice_overhead_seconds", {"phase": "before"}, 0.25),
        ("sluice_overhead_seconds", {"phase": "first_byte"}, 0.01),
        ("sluice_queue_wait_seconds", {}, 0.25),
    ],
)
def test_a_request_is_observed_once_in_every_histogram(
    seen: Counted, name: str, labels: dict[str, str], total: float
) -> None:
    """With the figure that its name promises."""
    seen.metrics.record(answered(), counted(), 0.25)
    assert seen.value(f"{name}_count", **labels) == 1
    assert seen.value(f"{name}_sum", **labels) == pytest.approx(total)


@pytest.mark.parametrize(
    ("name", "labels", "total"),
    [
        (
            "sluice_requests_total",
            {
                **ACCOUNT,
                "route": "/v1/chat/completions",
                "status": "200",
                "ended_by": "complete",
            },
            1,
        ),
        ("sluice_tokens_total", {**ACCOUNT, "type": "input"}, 7),
        ("sluice_tokens_total", {**ACCOUNT, "type": "output"}, 4),
        ("sluice_tokens_total", {**ACCOUNT, "type": "reasoning"}, 0),
        ("sluice_tokens_total", {**ACCOUNT, "type": "cached"}, 2),
        ("sluice_tokens_total", {**ACCOUNT, "type": "cache_write"}, None),
        ("sluice_model_requests_total", {**MODEL, "ended_by": "complete"}, 1),
        ("sluice_token_events_total", {"model": "m-1", "channel": "text"}, 4),
        ("sluice_token_events_total", {"model": "m-1", "channel": "tool"}, None),
        ("sluice_cost_usd_total", ACCOUNT, 0.25),
        ("sluice_model_cost_usd_total", MODEL, 0.25),
        ("sluice_unpriced_requests_total", MODEL, None),
        ("sluice_requests_without_usage_total", MODEL, None),
        ("sluice_tokens_after_client_left_total", MODEL, None),
        ("sluice_bytes_total", {"upstream": "a", "direction": "in"}, 30),
        ("sluice_bytes_total", {"upstream": "a", "direction": "out"}, 400),
    ],
)
def test_a_request_is_added_to_every_counter(
    seen: Counted, name: str, labels: dict[str, str], total: float | None
) -> None:
    """Absent is absent, and not 0."""
    seen.metrics.record(answered(), counted(), 0.25)
    assert seen.value(name, **labels) == total


def test_a_request_that_was_never_answered_has_no_figures(seen: Counted) -> None:
    """It is counted, with its outcome, and nothing that did not happen is observed."""
    never = {"called_at": None, "first_byte_at": None, "first_sent_at": None}
    shed = answered(
        **never,
        upstream="",
        upstream_status=None,
        status=503,
        ended_by=EndedBy.SHED,
        error="overloaded",
    )
    seen.metrics.record(shed, Tally())
    labels = {"upstream": "", "key": "shop", "route": "/v1/chat/completions"}
    assert seen.value("sluice_requests_total", **labels, status="503", ended_by="shed") == 1
    model = {"model": "other", "upstream": ""}
    assert seen.value("sluice_model_requests_total", **model, ended_by="shed") == 1
    assert seen.names() >= {"sluice_requests", "gen_ai_server_request_duration_seconds"}
    for metric in seen.registry.collect():
        expected = {
            *("sluice_requests", "sluice_model_requests"),
            *("sluice_bytes", "sluice_queue_wait_seconds"),
        }
        if metric.name.startswith(("gen_ai", "sluice")) and metric.name not in expected:
            counts = [s.value for s in metric.samples if s.name.endswith(("_count", "_total"))]
            own = metric.name == "gen_ai_server_request_duration_seconds"
            assert sum(counts) == own, metric.name


def test_a_failure_after_the_200_is_no_success(seen: Counted) -> None:
    """Its status is 200 all the same; its outcome says what happened."""
    cut = answered(ended_by=EndedBy.UPSTREAM_CUT, error="upstream_cut")
    seen.metrics.record(cut, counted())
    route = {"route": "/v1/chat/completions", "status": "200"}
    assert seen.value("sluice_requests_total", **ACCOUNT, **route, ended_by="upstream_cut") == 1
    assert seen.value("sluice_requests_total", **ACCOUNT, **route, ended_by="complete") is None
    name = "gen_ai_server_request_duration_seconds_count"
    failed = GEN_AI | {"gen_ai_request_model": "", "gen_ai_response_model": ""}
    assert seen.value(name, **failed, error_type="upstream_cut") == 1
    assert seen.value("sluice_model_requests_total", **MODEL, ended_by="upstream_cut") == 1


def test_counted_tokens_stand_in_for_missing_usage(seen: Counted) -> None:
    """With a source that says so; and the missing usage is counted."""
    seen.metrics.record(answered(), counted(usage=None))
    labels = {**STREAM, "source": "counted"}
    assert seen.value("sluice_output_tokens_per_second_count", **labels) == 1
    assert seen.value("sluice_output_tokens_per_second_sum", **labels) == 2.0
    assert seen.value("sluice_requests_without_usage_total", **MODEL) == 1
    assert seen.value("sluice_tokens_total", **ACCOUNT, type="output") is None


def test_a_model_without_a_price_is_said_so(seen: Counted) -> None:
    """Rather than priced at 0."""
    seen.metrics.record(answered(), counted(), None)
    assert seen.value("sluice_unpriced_requests_total", **MODEL) == 1
    assert seen.value("sluice_cost_usd_total", **ACCOUNT) is None
    seen.metrics.record(answered(), counted(), 0.0)
    assert seen.value("sluice_cost_usd_total", **ACCOUNT) == 0


def test_every_channel_is_counted_apart(seen: Counted) -> None:
    """By events, as they came."""
    tally = Tally(family=Family.CHAT)
    for channels in (TEXT, REASONING, REASONING, TOOL, TEXT | TOOL):
        tally.count(channels, 101.0)
    seen.metrics.record(answered(), tally)
    events = {
        channel: seen.value("sluice_token_events_total", model="m-1", channel=channel)
        for channel in ("text", "reasoning", "tool", "other")
    }
    assert events == {"text": 2, "reasoning": 2, "tool": 2, "other": None}


def test_tokens_after_the_client_left_are_counted_apart(seen: Counted) -> None:
    """As well as among all."""
    tally = counted()
    tally.client_left()
    tally.count(TEXT, 104.0)
    left = answered(ended_by=EndedBy.CLIENT_LEFT, client_left_at=103.5)
    seen.metrics.record(left, tally)
    assert seen.value("sluice_tokens_after_client_left_total", **MODEL) == 1
    assert seen.value("sluice_token_events_total", model="m-1", channel="text") == 5


def test_input_means_all_input_for_every_provider(seen: Counted) -> None:
    """Anthropic's cache stands beside its input; here it is within, as everywhere else."""
    usage = Usage(4, 221, cached=1165, input_beside=1165)
    tally = counted(family=Family.MESSAGES, usage=usage)
    seen.metrics.record(answered(family=Family.MESSAGES), tally)
    assert seen.value("sluice_tokens_total", **ACCOUNT, type="input") == 1169
    assert seen.value("sluice_tokens_total", **ACCOUNT, type="cached") == 1165


def test_the_family_is_that_of_the_stream_not_of_the_route(seen: Counted) -> None:
    """A messages stream on a chat route is Anthropic's."""
    seen.metrics.record(answered(), counted(family=Family.MESSAGES))
    labels: dict[str, str] = {**GEN_AI, "gen_ai_provider_name": "anthropic"}
    assert seen.value("gen_ai_server_time_to_first_token_seconds_count", **labels) == 1


def test_invented_models_do_not_fill_the_registry(seen: Counted) -> None:
    """However many are asked for; and answered ones only up to the cap."""
    for number in range(300):
        unknown: dict[str, Any] = {"upstream_status": 404, "status": 404}
        seen.metrics.record(answered(model=f"invented-{number}", **unknown), Tally())
    for number in range(300):
        tally = counted(model=f"dated-{number}")
        seen.metrics.record(answered(model=f"real-{number}"), tally, 0.5)
    models = {
        sample.labels["model"]
        for metric in seen.registry.collect()
        for sample in metric.samples
        if "model" in sample.labels
    }
    assert models == {"other", *(f"real-{number}" for number in range(100))}
    total = sum(
        sample.value
        for metric in seen.registry.collect()
        for sample in metric.samples
        if sample.name == "sluice_requests_total"
    )
    assert total == 600


def test_malformed_events_are_counted_by_upstream(seen: Counted) -> None:
    """Who sends them is what matters."""
    seen.metrics.record(answered(), counted(malformed=3))
    assert seen.value("sluice_malformed_events_total", upstream="a") == 3


def test_upstreams_are_known_from_the_start(seen: Counted) -> None:
    """So that a first ejection is a rise from 0."""
    seen.metrics.know(["a", "b"])
    assert seen.value("sluice_upstream_ejections_total", upstream="b") == 0
    seen.metrics.ejected("b")
    assert seen.value("sluice_upstream_ejections_total", upstream="b") == 1
    assert seen.value("sluice_upstream_healthy", upstream="b") == 0
    seen.metrics.returned("b")
    assert seen.value("sluice_upstream_healthy", upstream="b") == 1
    seen.metrics.retried("b", "upstream_reset")
    labels = {"upstream": "b", "reason": "upstream_reset"}
    assert seen.value("sluice_upstream_retries_total", **labels) == 1


def test_levels_are_what_was_last_said(seen: Counted) -> None:
    """Streams, line, slots, lag, pool."""
    seen.metrics.levels(streams=3, waiting=2, slots=10)
    seen.metrics.record_worker(0.02, used=4, idle=1)
    names = ("streams_in_flight", "requests_waiting", "slots", "event_loop_lag_seconds")
    assert [seen.value(f"sluice_{name}") for name in names] == [3, 2, 10, 0.02]
    assert seen.value("sluice_upstream_connections", state="used") == 4
    for lag in (0.01, *[0.0] * 13):
        seen.metrics.record_worker(lag, used=0, idle=0)
    assert seen.value("sluice_event_loop_lag_seconds") == 0.02
    seen.metrics.record_worker(0.0, used=0, idle=0)
    assert seen.value("sluice_event_loop_lag_seconds") == 0.01
    spent = seen.value("sluice_worker_cpu_seconds_total")
    seen.metrics.record_worker(0.0, used=0, idle=0)
    assert spent
    assert (seen.value("sluice_worker_cpu_seconds_total") or 0) >= spent
