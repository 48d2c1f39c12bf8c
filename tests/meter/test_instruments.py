from __future__ import annotations

from prometheus_client import CollectorRegistry

from proxy.meter.instruments import Instruments

# The bounds of the OpenTelemetry GenAI conventions, and those by which vLLM goes on.
FIRST = {
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(20, 40, 80, 160, 640, 2560),
}
PER_TOKEN = {
    *(0.001, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1, 2.5),
    *(5, 7.5, 10, 20, 40, 80),
}
DURATION = {0.01 * 2**step for step in range(20)}
TOKENS = {4.0**step for step in range(14)}


def test_every_instrument_is_made_once_in_the_given_registry() -> None:
    """Making them again in another works: nothing happens at import."""
    for _ in range(2):
        registry = CollectorRegistry()
        Instruments(registry)
        names = [metric.name for metric in registry.collect()]
        assert len(names) == len(set(names)) > 20
        assert all(name.startswith(("sluice_", "gen_ai_")) for name in names)
        assert all(metric.documentation.endswith(".") for metric in registry.collect())


def test_buckets_are_bounds_of_the_conventions() -> None:
    """So that sums with other exporters work; and 2.5 s, which the alerts promise, is one."""
    instruments = Instruments(CollectorRegistry())
    timing, counts = instruments.timing, instruments.counts
    made = [
        (timing.first_token, FIRST),
        (timing.first_byte, FIRST),
        (timing.first_text, FIRST),
        (timing.per_token, PER_TOKEN),
        (timing.duration, DURATION),
        (counts.usage, TOKENS),
    ]
    for series, bounds in made:
        metric = series[tuple("x" for _ in series._metric._labelnames)]
        assert set(metric._upper_bounds) - bounds == {float("inf")}
    assert 2.5 in timing.first_token["", "", "", ""]._upper_bounds


def test_no_instrument_is_kept_by_model_and_by_key() -> None:
    """Their product is what makes a scrape large."""
    instruments = Instruments(CollectorRegistry())
    parts = (instruments.timing, instruments.counts, instruments.upstreams, instruments.workers)
    for part in parts:
        for series in vars(part).values():
            labels = set(series._metric._labelnames)
            assert not ("key" in labels and labels & {"model", "gen_ai_request_model"})


def test_a_series_is_begun_once() -> None:
    """And then found by its labels."""
    counter = Instruments(CollectorRegistry()).upstreams.ejections
    assert counter["a",] is counter["a",]
    assert counter["a",] is not counter["b",]
