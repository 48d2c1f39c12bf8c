from __future__ import annotations

from prometheus_client import CollectorRegistry

from proxy.meter.instruments import Instruments

BUCKETS = {
    "gen_ai_server_time_to_first_token_seconds": (0.001, 2560.0),
    "sluice_time_to_first_byte_seconds": (0.001, 2560.0),
    "sluice_time_to_first_text_seconds": (0.001, 2560.0),
    "gen_ai_server_time_per_output_token_seconds": (0.001, 80.0),
    "gen_ai_server_request_duration_seconds": (0.01, 5242.88),
    "gen_ai_client_token_usage": (1.0, 67108864.0),
}


def test_every_instrument_is_made_once_in_the_given_registry() -> None:
    """Making them again in another works: nothing happens at import."""
    for _ in range(2):
        registry = CollectorRegistry()
        Instruments(registry)
        names = [metric.name for metric in registry.collect()]
        assert len(names) == len(set(names)) > 20
        assert all(name.startswith(("sluice_", "gen_ai_")) for name in names)
        assert all(metric.documentation.endswith(".") for metric in registry.collect())


def test_buckets_are_those_of_the_conventions() -> None:
    """From the smallest to the largest that they name."""
    registry = CollectorRegistry()
    instruments = Instruments(registry)
    timing, counts = instruments.timing, instruments.counts
    made = (
        timing.first_token,
        timing.first_byte,
        timing.first_text,
        timing.per_token,
        timing.duration,
    )
    for series in (*made, counts.usage):
        metric = series[tuple("x" for _ in series._metric._labelnames)]
        bounds = metric._upper_bounds
        assert (bounds[0], round(bounds[-2], 2)) == BUCKETS[metric._name]


def test_a_series_is_begun_once() -> None:
    """And then found by its labels."""
    counter = Instruments(CollectorRegistry()).upstreams.ejections
    assert counter["a",] is counter["a",]
    assert counter["a",] is not counter["b",]
