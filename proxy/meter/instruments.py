"""All instruments: names, help, labels and buckets.

Names and buckets that begin with `gen_ai_` are those of the OpenTelemetry GenAI semantic
conventions in their Prometheus form. All times are seconds.

Labels multiply the number of time series, so large products are avoided:
distributions are kept by model and operation, or by route and upstream; counters by key and
upstream, or by model and upstream; nothing by key and model. A hundred models, fifty keys and two
upstreams stay under 12,000 time series. The buckets of what is kept by model are some of the
bounds of the conventions, so that sums with other exporters work at those that both have.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, Literal, TypeVar

from prometheus_client import Counter, Gauge, Histogram

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prometheus_client import CollectorRegistry

Mode = Literal["livesum", "livemin", "livemax"]
"""How the workers' gauges are merged; a dead worker's are dropped."""
Metric = TypeVar("Metric", Counter, Gauge, Histogram)

_FIRST = (
    *(0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10),
    *(20, 40, 80, 160, 640, 2560),
)
_FIRST_BY_MODEL = (0.01, 0.04, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 40, 160)
_PER_TOKEN = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.5, 1, 2.5)
_DURATION = tuple(0.01 * 4**step for step in range(10))
_TOKENS = tuple(4**step for step in range(2, 11))
_RATE = (1, 2, 5, 10, 20, 30, 50, 75, 100, 150, 200, 300, 500, 1000, 2000, 5000)
_GAP = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 40, 80, 160)
_OWN = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5)
_WAIT = (0.001, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 30, 60)

GEN_AI = (
    "gen_ai_operation_name",
    "gen_ai_provider_name",
    "gen_ai_request_model",
    "gen_ai_response_model",
)
MODEL = ("model", "upstream")
ACCOUNT = ("key", "upstream")
STREAM = ("route", "upstream")


class Series(dict[tuple[str, ...], Metric], Generic[Metric]):
    """An instrument's time series by label values; a faster lookup than the library's."""

    def __init__(self, metric: Metric) -> None:
        super().__init__()
        self._metric: Metric = metric

    def __missing__(self, labels: tuple[str, ...]) -> Metric:
        """Create a time series."""
        self[labels] = self._metric.labels(*labels) if labels else self._metric
        return self[labels]


class Maker:
    """Creates instruments in one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def counter(self, name: str, text: str, *labels: str) -> Series[Counter]:
        """Create a counter."""
        return Series(Counter(name, text, labels, registry=self._registry))

    def gauge(self, name: str, text: str, mode: Mode, *labels: str) -> Series[Gauge]:
        """Create a gauge."""
        gauge = Gauge(name, text, labels, registry=self._registry, multiprocess_mode=mode)
        return Series(gauge)

    def histogram(
        self, name: str, text: str, buckets: Sequence[float], *labels: str
    ) -> Series[Histogram]:
        """Create a histogram."""
        return Series(Histogram(name, text, labels, buckets=buckets, registry=self._registry))


class Timing:
    """Histograms of times."""

    def __init__(self, make: Maker) -> None:
        self.first_token = make.histogram(
            "gen_ai_server_time_to_first_token_seconds",
            "From the request's arrival to the first token of any channel.",
            _FIRST_BY_MODEL,
            *GEN_AI,
        )
        self.first_byte = make.histogram(
            "sluice_time_to_first_byte_seconds",
            "From the request's arrival to the upstream's first body byte.",
            _FIRST,
            *STREAM,
        )
        self.first_text = make.histogram(
            "sluice_time_to_first_text_seconds",
            "From the request's arrival to the first text that a person sees.",
            _FIRST,
            *STREAM,
        )
        self.per_token = make.histogram(
            "gen_ai_server_time_per_output_token_seconds",
            "Decode time (first token to last) per output token after the first.",
            _PER_TOKEN,
            *GEN_AI,
        )
        self.rate = make.histogram(
            "sluice_output_tokens_per_second",
            "Output tokens after the first per second of decode time.",
            _RATE,
            *STREAM,
            "source",
        )
        self.gap = make.histogram(
            "sluice_max_token_gap_seconds",
            "The longest wait between two events with tokens within one stream.",
            _GAP,
            *STREAM,
        )
        self.duration = make.histogram(
            "gen_ai_server_request_duration_seconds",
            "From the request's arrival to its end; of failures by error_type, not by model.",
            _DURATION,
            *GEN_AI,
            "error_type",
        )
        self.overhead = make.histogram(
            "sluice_overhead_seconds",
            "Sluice's own share: before the upstream was called, and from its first byte to ours.",
            _OWN,
            "phase",
        )
        self.queue_wait = make.histogram(
            "sluice_queue_wait_seconds", "Time waited for a slot.", _WAIT
        )


class Counts:
    """Counters of requests, tokens, costs and bytes."""

    def __init__(self, make: Maker) -> None:
        self.requests = make.counter(
            "sluice_requests_total",
            "Requests that have ended, and how.",
            "route",
            *ACCOUNT,
            "status",
            "ended_by",
        )
        self.model_requests = make.counter(
            "sluice_model_requests_total",
            "The same requests by model, and how they ended.",
            *MODEL,
            "ended_by",
        )
        self.usage = make.histogram(
            "gen_ai_client_token_usage",
            "Tokens of one request, as the upstream states them.",
            _TOKENS,
            *GEN_AI,
            "gen_ai_token_type",
        )
        self.tokens = make.counter(
            "sluice_tokens_total",
            "Tokens as upstreams state them; input includes cached, output includes reasoning.",
            *ACCOUNT,
            "type",
        )
        self.token_events = make.counter(
            "sluice_token_events_total",
            "Events with tokens that streams carried, by channel, as Sluice counted them.",
            "model",
            "channel",
        )
        self.tokens_after_leaving = make.counter(
            "sluice_tokens_after_client_left_total",
            "Events with tokens received after the client had left.",
            *MODEL,
        )
        self.without_usage = make.counter(
            "sluice_requests_without_usage_total",
            "Answers of understood families whose upstream stated no usage.",
            *MODEL,
        )
        self.cost = make.counter("sluice_cost_usd_total", "Cost in US dollars.", *ACCOUNT)
        self.model_cost = make.counter(
            "sluice_model_cost_usd_total", "The same cost in US dollars by model.", *MODEL
        )
        self.unpriced = make.counter(
            "sluice_unpriced_requests_total",
            "Requests with known usage whose model has no known price.",
            *MODEL,
        )
        self.malformed = make.counter(
            "sluice_malformed_events_total",
            "Malformed events, which are relayed but not counted.",
            "upstream",
        )
        self.bytes = make.counter(
            "sluice_bytes_total", "Bytes of bodies, by direction.", "upstream", "direction"
        )


class UpstreamInstruments:
    """Instruments of upstreams."""

    def __init__(self, make: Maker) -> None:
        self.retries = make.counter(
            "sluice_upstream_retries_total",
            "Retries, by the upstream that failed and its fault.",
            "upstream",
            "reason",
        )
        self.ejections = make.counter(
            "sluice_upstream_ejections_total", "Times an upstream was ejected.", "upstream"
        )
        self.healthy = make.gauge(
            "sluice_upstream_healthy",
            "1 if the upstream is in use in every worker, 0 if one has ejected it.",
            "livemin",
            "upstream",
        )
        self.connections = make.gauge(
            "sluice_upstream_connections",
            "Connections to upstreams, in use and idle.",
            "livesum",
            "state",
        )


class Workers:
    """Instruments of workers."""

    def __init__(self, make: Maker) -> None:
        self.streams = make.gauge(
            "sluice_streams_in_flight", "Requests that hold a slot.", "livesum"
        )
        self.waiting = make.gauge(
            "sluice_requests_waiting", "Requests that wait for a slot.", "livesum"
        )
        self.slots = make.gauge("sluice_slots", "Slots, over all workers.", "livesum")
        self.loop_lag = make.gauge(
            "sluice_event_loop_lag_seconds",
            "The largest delay of a timer in any worker's event loop in the last 15 seconds.",
            "livemax",
        )
        self.cpu = make.counter("sluice_worker_cpu_seconds_total", "CPU time of all workers.")


class Resumable:
    """Instruments of resumable streams."""

    def __init__(self, make: Maker) -> None:
        self.running = make.gauge(
            "sluice_resumable_streams", "Resumable streams that are being relayed.", "livesum"
        )
        self.readers = make.gauge(
            "sluice_resumable_readers", "Readers of resumable streams.", "livesum"
        )
        self.resumed = make.counter(
            "sluice_resumed_reads_total",
            "Readers of streams that were admitted, by route.",
            "route",
        )
        self.lost = make.counter(
            "sluice_resumable_streams_lost_total",
            "Resumable streams whose log was lost, by reason.",
            "reason",
        )


class Instruments:
    """All instruments of one registry."""

    def __init__(self, registry: CollectorRegistry) -> None:
        make = Maker(registry)
        self.timing = Timing(make)
        self.counts = Counts(make)
        self.upstreams = UpstreamInstruments(make)
        self.workers = Workers(make)
        self.resumable = Resumable(make)
