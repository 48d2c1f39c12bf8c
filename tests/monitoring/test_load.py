"""What clients saw and what is measured is the same."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from tests.monitoring.clients import KEYS, LIMITED, Limited
from tests.monitoring.observed import CERTIFICATE_DAYS
from tests.monitoring.prometheus import NEEDS_PROMETHEUS

if TYPE_CHECKING:
    from tests.monitoring.observed import Observed

pytestmark = NEEDS_PROMETHEUS


def test_the_load_was_of_every_kind(observed: Observed) -> None:
    """Outcomes that a dashboard must tell apart have all happened."""
    outcomes = observed.prometheus.ask("label/ended_by/values")
    assert {
        "complete",
        "client_left",
        "upstream_cut",
        "error_event",
        "first_token_timeout",
        "idle_timeout",
        "shed",
        "rejected",
        "limited",
    } <= set(outcomes)


def test_each_answer_is_counted_once(observed: Observed) -> None:
    """By its status, whoever gave it, also those whose clients left or whose logs were lost."""
    # A stream that is made for readers counts beside those who read it, with 202.
    expr = 'sum by (status) (sluice_requests_total{status!="202"})'
    counted = observed.in_the_end(expr, "status")
    answers = dict(observed.load.statuses)
    del answers["202"]
    assert counted == answers


def test_each_reader_is_counted_once(observed: Observed) -> None:
    """By each of the ways in which a reader can come."""
    counted = observed.in_the_end("sum by (route) (sluice_resumed_reads_total)", "route")
    assert set(counted) == {"/v1/streams", "/v1/responses", "/v1/stream"}
    assert sum(counted.values()) == observed.load.reads


@pytest.mark.parametrize("limited", LIMITED, ids=lambda limited: limited.limit)
def test_each_limit_has_refused(observed: Observed, limited: Limited) -> None:
    """What was more than its key may, and no other limit of that key did."""
    refused = f'sum by (limit) (sluice_limited_requests_total{{key="{limited.name}"}}) > 0'
    assert set(observed.in_the_end(refused, "limit")) == {limited.limit}


def test_an_upstream_that_nobody_listens_at_is_taken_out(observed: Observed) -> None:
    """What it was asked went to another, of the next tier where there is none beside it."""
    taken_out = observed.in_the_end(
        "sum by (upstream) (sluice_upstream_ejections_total)", "upstream"
    )
    assert taken_out["gone"] > 0
    assert taken_out["spare"] == 0
    answered = observed.in_the_end(
        'sum by (upstream) (sluice_requests_total{status="200"})', "upstream"
    )
    assert answered["spare"] > 0
    assert "gone" not in answered


def test_the_store_that_died_was_missed_and_started_again(observed: Observed) -> None:
    """Its silence shows in the gauge, its death among the restarts, and both in what was lost."""
    assert {0.0, 1.0} <= set(observed.samples("sluice_store_up"))
    restarts = observed.in_the_end("sluice_process_restarts_total", "process")
    assert restarts["store"] == 1
    assert not any(number for process, number in restarts.items() if process != "store")
    unchecked = observed.in_the_end("sum by (key) (sluice_limits_unchecked_requests_total)", "key")
    assert sum(unchecked.values()) > 0
    assert set(unchecked).isdisjoint(KEYS)


def test_the_certificate_that_is_served_is_the_one_that_is_measured(observed: Observed) -> None:
    """Until the second in which it ends."""
    end = observed.samples("sluice_tls_certificate_expiry_timestamp_seconds")
    assert len(set(end)) == 1
    assert end[0] == pytest.approx(time.time() + CERTIFICATE_DAYS * 86400, abs=600)
