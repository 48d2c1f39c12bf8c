"""Records each request once, on every exit: metrics, log line and span."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Iterable
from typing import Any, Self

from multidict import CIMultiDict
from prometheus_client import CollectorRegistry

from proxy.edge.admission import Admission
from proxy.edge.request_context import RequestContext
from proxy.edge.store_metrics import StoreMetrics
from proxy.meter import counted_requests, requests_in_flight, server_timing, stream_reader
from proxy.meter.instruments import Maker
from proxy.meter.key_instruments import KeyInstruments
from proxy.meter.key_metrics import KeyMetrics
from proxy.meter.logs import RequestLog
from proxy.meter.metrics import Metrics
from proxy.meter.multiprocess import worker_registry
from proxy.meter.prices import Prices, read_prices
from proxy.meter.recent_statistics import RecentStatistics
from proxy.meter.tally import Tally, Usage
from proxy.meter.trace_context import onward
from proxy.meter.tracing import spans_asked_for
from proxy.record import RequestRecord
from proxy.settings import Settings
from proxy.upstream.upstreams import Upstreams

_PULSE_SECONDS = 1.0


class Telemetry:
    """The metrics, log and spans of one worker."""

    def __init__(
        self, settings: Settings, admission: Admission, upstreams: Upstreams, *, index: int
    ) -> None:
        directory = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        shared = worker_registry(directory, index) if directory else None
        self.registry = shared or CollectorRegistry()
        """Backed by files that the supervisor reads or, in a worker that runs alone, by memory."""
        self._metrics = Metrics(
            self.registry, max_models=settings.metrics_models, directory=directory
        )
        instruments = KeyInstruments(Maker(self.registry))
        self.keys = KeyMetrics(instruments)
        self.store = StoreMetrics(instruments)
        self._in_flight = requests_in_flight.RequestsInFlight(
            requests_in_flight.path_of(directory, index) if directory else None
        )
        self._ended = counted_requests.CountedRequests(
            counted_requests.path_of(directory, index) if directory else None
        )
        self._log = RequestLog(worker=index)
        self._settings = settings
        self._prices = Prices()
        self._spans = spans_asked_for(os.environ)
        self._admission = admission
        self._upstreams = upstreams
        self.resumable_levels: Callable[[], tuple[int, int]] | None = None
        """Returns the numbers of recorded streams and of readers; None without a store."""
        self._pulse: asyncio.Task[None] | None = None
        self._priced: asyncio.Task[None] | None = None
        self._recent = RecentStatistics()
        self._running: dict[int, RequestContext] = {}
        self._unpriced: list[RequestContext] = []
        """Requests that ended before the prices were loaded."""

    async def __aenter__(self) -> Self:
        self._prices = await _own_prices(self._settings)
        self._priced = asyncio.create_task(self._load_prices())
        self._metrics.know(str(upstream["name"]) for upstream in self._upstreams.status())
        self._upstreams.observe(self._metrics)
        self._levels()
        self._pulse = asyncio.create_task(self._beat())
        return self

    async def __aexit__(self, *_error: object) -> None:
        if self._pulse is not None:
            self._pulse.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._pulse
        if self._priced is not None:
            await self._priced
        if self._spans is not None:
            await asyncio.to_thread(self._spans.close)

    async def prices_from(self, settings: Settings) -> Prices:
        """Load the prices of these settings. Raises `PricesError`."""
        prices = await _own_prices(settings)
        await asyncio.to_thread(prices.load)
        return prices

    def replace_prices(self, prices: Prices, upstreams: Iterable[str]) -> None:
        """Use these prices and these upstreams' names from now on."""
        self._prices = prices
        self._metrics.know(upstreams)

    def keep(self, context: RequestContext) -> None:
        """Save what is known of a running request, in case the worker is killed."""
        self._in_flight.write(context.record)
        self._running[id(context)] = context

    def recent(self) -> dict[str, Any]:
        """Return the statistics of the last minutes, for `/status`."""
        return self._recent.report(context.tally for context in self._running.values())

    def finish(self, context: RequestContext) -> None:
        """Record an ended request."""
        context.record_end()
        self._running.pop(id(context), None)
        self._levels()
        if self._priced is not None and self._priced.done():
            self._record(context)
        else:
            self._unpriced.append(context)

    def resumed(self, route: str) -> None:
        """Count a reader of a log, by route."""
        self._metrics.instruments.resumable.resumed[route,].inc()

    def keeps_logs(self, losses: Iterable[str]) -> None:
        """Streams can be resumable; the series of each loss begin, so that the first is a rise."""
        for reason in losses:
            self._metrics.instruments.resumable.lost[reason,].inc(0)

    def lost_log(self, reason: str) -> None:
        """Count a stream whose log was lost."""
        self._metrics.instruments.resumable.lost[reason,].inc()

    def count_unserved(self, record: RequestRecord, tally: Tally) -> None:
        """Count a request that was never served: its client had left, or resources were exhausted.

        It gets no log line, because there may be very many.
        """
        self._metrics.record(record, tally)
        self._ended.add(record)

    def meter_stream(self, context: RequestContext) -> stream_reader.StreamReader:
        """Start a reader for the request's stream; its tally becomes the request's."""
        reader = stream_reader.reader_for(context.record.family, context.choices)
        context.tally = reader.tally
        return reader

    def meter_body(self, context: RequestContext, body: bytes) -> None:
        """Meter a response that is not streamed."""
        context.tally = stream_reader.read_body(context.record.family, body)

    def meter_ends(self, context: RequestContext, ends: bytes) -> None:
        """Meter a response of unknown format by its beginning and its end."""
        context.tally = stream_reader.read_ends(ends)

    def add_trace_context(
        self, headers: CIMultiDict[str], record: RequestRecord
    ) -> CIMultiDict[str]:
        """Add a trace context: the client's, continued, or a new one."""
        make = onward if self._spans is None else self._spans.onward
        record.traceparent = headers["traceparent"] = make(headers.get("traceparent"))
        return headers

    def trailing_figures(self, context: RequestContext) -> bytes:
        """Build the final comment of a stream whose client asked for its figures."""
        return server_timing.trailing_comment(context.record, context.tally, self._cost(context))

    def price(self, record: RequestRecord, usage: Usage, model: str = "") -> float | None:
        """Return the price of a usage in US dollars; None if unknown.

        `model` is the one that the response names; empty before there is one.
        """
        return self._prices.cost(record, Tally(usage=usage, model=model))

    def _record(self, context: RequestContext) -> None:
        cost = self._cost(context)
        self._metrics.record(context.record, context.tally, cost)
        self._recent.record(context.record, context.tally, cost)
        # In this order, so that the request is always in at least one of the two files.
        self._ended.add(context.record)
        self._in_flight.remove(context.record)
        self._log.write(context.record, context.tally, cost)
        if self._spans is not None:
            incoming = context.request.headers.get("traceparent")
            self._spans.export(context.record, context.tally, incoming, cost)

    def _cost(self, context: RequestContext) -> float | None:
        return self._prices.cost(context.record, context.tally)

    async def _load_prices(self) -> None:
        """Load the prices in the background: they would delay the start by a tenth of a second."""
        await asyncio.to_thread(self._prices.load)
        for context in self._unpriced:
            self._record(context)
        self._unpriced.clear()

    def _levels(self) -> None:
        admission = self._admission
        self._metrics.levels(
            streams=admission.taken, waiting=admission.waiting, slots=admission.slots
        )
        if self.resumable_levels is not None:
            running, readers = self.resumable_levels()
            instruments = self._metrics.instruments.resumable
            instruments.running[()].set(running)
            instruments.readers[()].set(readers)

    async def _beat(self) -> None:
        """Sample the event loop's lag, the connection pool and the CPU time once a second."""
        while True:
            before = time.monotonic()
            await asyncio.sleep(_PULSE_SECONDS)
            lag = time.monotonic() - before - _PULSE_SECONDS
            self._metrics.record_worker(max(0.0, lag), *self._upstreams.connections())
            self._levels()


async def _own_prices(settings: Settings) -> Prices:
    own = await asyncio.to_thread(read_prices, settings.prices) if settings.prices else None
    return Prices(own, {upstream.name: str(upstream.url) for upstream in settings.upstreams})
