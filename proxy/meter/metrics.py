"""Records the metrics of ended requests, upstreams and workers."""

from __future__ import annotations

import resource
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.meter.instruments import Instruments
from proxy.meter.labels import (
    AnsweringNames,
    ModelNames,
    error_type,
    operation_of,
    provider_of,
    was_answered,
)
from proxy.meter.multiprocess import collect, content_type
from proxy.meter.shared_name_set import SharedNameSet
from proxy.meter.tally import (
    longest_gap,
    pace,
    time_to_first_byte,
    time_to_first_text,
    time_to_first_token,
    tokens_after_leaving,
)
from proxy.record import EndedBy, Family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client import CollectorRegistry, Histogram

    from proxy.meter.instruments import Series
    from proxy.meter.tally import Tally
    from proxy.record import RequestRecord

__all__ = ["Metrics", "collect", "content_type"]

_NONE: tuple[str, ...] = ()
_LAGS = 15


class Metrics:
    """The metrics of one worker."""

    def __init__(
        self, registry: CollectorRegistry, *, max_models: int = 100, directory: str | None = None
    ) -> None:
        self.instruments = Instruments(registry)
        self._names = ModelNames(SharedNameSet(max_models, _in(directory, "models")))
        self._answering = AnsweringNames(
            SharedNameSet(max_models, _in(directory, "answering-models"))
        )
        self._cpu_seconds = 0.0
        self._lags: deque[float] = deque([0.0], maxlen=_LAGS)

    def record(self, record: RequestRecord, tally: Tally, cost: float | None = None) -> None:
        """Record an ended request; `cost` is in US dollars, None without a price."""
        answered = was_answered(record)
        model = self._names.label(record.model, answered=answered)
        self._count(record, tally, model)
        self._time(record, tally, model)
        if answered:
            self._account(record, tally, model, cost)

    def _count(self, record: RequestRecord, tally: Tally, model: str) -> None:
        counts = self.instruments.counts
        status, ended_by = str(record.status), str(record.ended_by or "")
        account = (record.client_key, record.upstream)
        counts.requests[record.route, *account, status, ended_by].inc()
        counts.model_requests[model, record.upstream, ended_by].inc()
        counts.bytes[record.upstream, "in"].inc(record.bytes_in)
        counts.bytes[record.upstream, "out"].inc(record.bytes_out)
        if tally.malformed:
            counts.malformed[record.upstream,].inc(tally.malformed)
        if tally.counted:
            for channel in ("text", "reasoning", "tool", "other"):
                events = getattr(tally, channel)
                if events:
                    counts.token_events[model, channel].inc(events)
            late = tokens_after_leaving(tally)
            if late:
                counts.tokens_after_leaving[model, record.upstream].inc(late)

    def _time(self, record: RequestRecord, tally: Tally, model: str) -> None:
        timing, stream = self.instruments.timing, (record.route, record.upstream)
        kind = self._kind(record, tally, model)
        _observe(timing.first_byte, stream, time_to_first_byte(record))
        _observe(timing.first_token, kind, time_to_first_token(record, tally))
        _observe(timing.first_text, stream, time_to_first_text(record, tally))
        _observe(timing.gap, stream, longest_gap(tally))
        error = error_type(record)
        # A failure's duration is a timeout's or an outage's, unrelated to the model.
        ended = (*kind[:2], "", "", error) if error else (*kind, error)
        _observe(timing.duration, ended, record.duration)
        token_pace = pace(tally)
        if token_pace is not None:
            per_token, per_second, source = token_pace
            timing.per_token[kind].observe(per_token)
            timing.rate[*stream, source].observe(per_second)
        self._own_share(record)

    def _own_share(self, record: RequestRecord) -> None:
        timing = self.instruments.timing
        if record.ended_by is not EndedBy.REJECTED:
            timing.queue_wait[_NONE].observe(record.queue_seconds)
        if record.called_at is not None:
            before = record.called_at - record.started_at - record.queue_seconds
            timing.overhead["before",].observe(max(0.0, before))
        if record.first_byte_at is not None and record.first_sent_at is not None:
            held = record.first_sent_at - record.first_byte_at
            timing.overhead["first_byte",].observe(max(0.0, held))

    def _account(self, record: RequestRecord, tally: Tally, model: str, cost: float | None) -> None:
        counts, usage = self.instruments.counts, tally.usage
        place = (model, record.upstream)
        if usage is None:
            if tally.family is not Family.UNKNOWN:
                counts.without_usage[place].inc()
            return
        account = (record.client_key, record.upstream)
        kind = self._kind(record, tally, model)
        stated = {"input": usage.input_total, "output": usage.output_total}
        for name, tokens in stated.items():
            if tokens is not None:
                counts.usage[*kind, name].observe(tokens)
        parts = {name: getattr(usage, name) for name in ("reasoning", "cached", "cache_write")}
        for name, tokens in (stated | parts).items():
            if tokens is not None:
                counts.tokens[*account, name].inc(tokens)
        if cost is None:
            counts.unpriced[place].inc()
        else:
            counts.cost[account].inc(cost)
            counts.model_cost[place].inc(cost)

    def _kind(self, record: RequestRecord, tally: Tally, model: str) -> tuple[str, ...]:
        family = record.family if tally.family is Family.UNKNOWN else tally.family
        return (
            operation_of(family, record.route),
            provider_of(family),
            model,
            self._answering.label(model, tally.model, answered=was_answered(record)),
        )

    def know(self, upstreams: Iterable[str]) -> None:
        """Create the upstreams' time series, so that a first ejection is an increase."""
        for upstream in upstreams:
            self.instruments.upstreams.ejections[upstream,].inc(0)
            self.instruments.upstreams.healthy[upstream,].set(1)

    def retried(self, upstream: str, reason: str) -> None:
        """Count a retry that this upstream caused; `reason` is a fault's code."""
        self.instruments.upstreams.retries[upstream, reason].inc()

    def ejected(self, upstream: str) -> None:
        """Count the ejection of an upstream."""
        self.instruments.upstreams.ejections[upstream,].inc()
        self.instruments.upstreams.healthy[upstream,].set(0)

    def returned(self, upstream: str) -> None:
        """Note that an ejected upstream is in use again."""
        self.instruments.upstreams.healthy[upstream,].set(1)

    def levels(self, *, streams: int, waiting: int, slots: int) -> None:
        """Set the numbers of requests with a slot, of queued requests, and of slots."""
        workers = self.instruments.workers
        workers.streams[_NONE].set(streams)
        workers.waiting[_NONE].set(waiting)
        workers.slots[_NONE].set(slots)

    def record_worker(self, lag: float, used: int, idle: int) -> None:
        """Record what is sampled once a second: the loop's lag, connections, CPU time.

        Scrapes are rarer, so the lag reported is the largest of the last 15 seconds.
        """
        self._lags.append(lag)
        self.instruments.workers.loop_lag[_NONE].set(max(self._lags))
        self.instruments.upstreams.connections["used",].set(used)
        self.instruments.upstreams.connections["idle",].set(idle)
        times = resource.getrusage(resource.RUSAGE_SELF)
        cpu_seconds = times.ru_utime + times.ru_stime
        self.instruments.workers.cpu[_NONE].inc(cpu_seconds - self._cpu_seconds)
        self._cpu_seconds = cpu_seconds


def _in(directory: str | None, name: str) -> Path | None:
    return None if directory is None else Path(directory) / name


def _observe(series: Series[Histogram], labels: tuple[str, ...], value: float | None) -> None:
    if value is not None:
        series[labels].observe(value)
