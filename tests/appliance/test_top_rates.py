from __future__ import annotations

import pytest

from proxy.appliance.top_rates import Change, Scrape, Spread, quantile

INFINITE = float("inf")


def change(before: str, after: str, seconds: float = 2.0) -> Change:
    """Two scrapes, so many seconds apart."""
    return Change(Scrape.read(before, 10.0), Scrape.read(after, 10.0 + seconds))


def requests(count: int, **labels: str) -> str:
    """One line of the request counter."""
    whole = {"status": "200", "ended_by": "complete"} | labels
    inside = ",".join(f'{name}="{value}"' for name, value in whole.items())
    return f"sluice_requests_total{{{inside}}} {count}\n"


def first_tokens(model: str, *counts: int) -> str:
    """A histogram with the bounds 0.1, 0.5 and infinity."""
    return histogram("gen_ai_server_time_to_first_token_seconds", model, *counts)


def per_token(model: str, *counts: int) -> str:
    """The same for the time per token."""
    return histogram("gen_ai_server_time_per_output_token_seconds", model, *counts)


def histogram(name: str, model: str, *counts: int) -> str:
    """A model's histogram with those bounds."""
    bounds = zip(("0.1", "0.5", "+Inf"), counts, strict=True)
    return "".join(
        f'{name}_bucket{{gen_ai_request_model="{model}",le="{bound}"}} {count}\n'
        for bound, count in bounds
    )


def test_a_counter_becomes_a_rate() -> None:
    """Over all its series, or for each value of a label; what stood still is left out."""
    seen = change(
        requests(4) + requests(9, ended_by="client_left"),
        requests(10) + requests(9, ended_by="client_left") + requests(2, ended_by="shed"),
    )
    assert seen.per_second("sluice_requests_total") == 4.0
    assert seen.per_second("sluice_requests_total", ended_by="complete") == 3.0
    assert seen.per_second_by("sluice_requests_total", "ended_by") == {"complete": 3.0, "shed": 1.0}


def test_a_counter_that_began_anew_never_runs_backwards() -> None:
    """After a restart of the whole machine the count itself is what has grown."""
    assert change(requests(100), requests(6)).per_second("sluice_requests_total") == 3.0


@pytest.mark.parametrize(
    ("status", "ended_by", "failed"),
    [
        ("200", "complete", False),
        ("200", "client_left", False),
        ("401", "rejected", False),
        ("503", "shed", False),
        ("200", "upstream_cut", True),
        ("504", "first_token_timeout", True),
        ("500", "complete", True),
    ],
)
def test_what_failed_is_what_the_alerts_call_failed(
    status: str, ended_by: str, failed: bool
) -> None:
    """A 5xx or a break; not the caller's own doing, and not a refusal."""
    other = requests(10)
    seen = change(other, requests(11) + requests(1, status=status, ended_by=ended_by, key="n"))
    assert seen.failed_share() == (0.5 if failed else 0.0)


def test_where_nothing_ended_no_share_failed() -> None:
    """Unknown is not 0 %."""
    seen = change(requests(5), requests(5))
    assert seen.failed_share() is None
    assert seen.shed_share() is None


def test_what_was_shed_is_told_beside_what_failed() -> None:
    """Nearly everybody is sent away, and nothing is broken."""
    shed = requests(345, status="503", ended_by="shed", key="a") + requests(
        345, status="503", ended_by="shed", key="b"
    )
    seen = change("", requests(110) + shed)
    assert seen.shed_share() == pytest.approx(0.8625)
    assert seen.failed_share() == 0.0


def test_percentiles_are_of_the_interval_alone() -> None:
    """What a histogram held before does not count."""
    seen = change(first_tokens("m", 900, 900, 900), first_tokens("m", 900, 1000, 1000))
    spread = seen.spread("gen_ai_server_time_to_first_token_seconds")
    assert spread.p50 == pytest.approx(0.3)
    assert spread.p95 == pytest.approx(0.48)


def test_no_observation_gives_no_percentile() -> None:
    """Neither an unknown histogram nor one that stood still."""
    same = first_tokens("m", 3, 4, 4)
    seen = change(same, same)
    nothing = Spread(None, None, None)
    assert seen.spread("gen_ai_server_time_to_first_token_seconds") == nothing
    assert seen.spread("sluice_no_such_thing") == nothing


@pytest.mark.parametrize(
    ("share", "buckets", "value"),
    [
        (0.5, [], None),
        (0.5, [(1.0, 0.0), (INFINITE, 0.0)], None),
        (0.5, [(1.0, 10.0), (INFINITE, 10.0)], 0.5),
        (0.5, [(1.0, 0.0), (2.0, 10.0), (INFINITE, 10.0)], 1.5),
        (0.95, [(1.0, 5.0), (INFINITE, 10.0)], 1.0),
        (1.0, [(1.0, 5.0), (2.0, 5.0), (3.0, 10.0), (INFINITE, 10.0)], 3.0),
    ],
    ids=["none", "empty", "first", "second", "beyond the last bound", "over an empty bucket"],
)
def test_quantiles_are_those_of_prometheus(
    share: float, buckets: list[tuple[float, float]], value: float | None
) -> None:
    """A straight line within a bucket; beyond the last bound, that bound."""
    assert quantile(share, buckets) == (value if value is None else pytest.approx(value))


def test_models_come_busiest_first_each_with_its_own_times() -> None:
    """The one with the most requests is on top."""
    seen = change(
        "",
        'sluice_model_requests_total{model="small"} 2\n'
        'sluice_model_requests_total{model="large"} 8\n'
        + per_token("large", 0, 4, 4)
        + first_tokens("small", 10, 10, 10)
        + first_tokens("large", 0, 10, 10),
    )
    large, small = seen.models()
    assert (large.name, large.per_second) == ("large", 4.0)
    assert large.first_token.p50 == pytest.approx(0.3)
    assert large.tokens_per_second == pytest.approx(1 / 0.3)
    assert small.tokens_per_second is None
    assert small.first_token.p50 == pytest.approx(0.05)


def test_a_page_is_no_scrape() -> None:
    """Whatever answers must speak Prometheus's format."""
    with pytest.raises(ValueError, match="invalid metric name"):
        Scrape.read("<html>no</html>", 0.0)
