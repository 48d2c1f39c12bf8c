"""Exports an OpenTelemetry span for each ended request, with the GenAI attributes.

A span is created after the last byte, and a thread of the SDK sends it in a batch. The endpoint and
the sampling are set by the SDK's own `OTEL_` variables.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import Decision
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from proxy.meter.labels import error_type, operation_of, provider_of
from proxy.meter.tally import pace, time_to_first_text, time_to_first_token
from proxy.meter.trace_context import Context
from proxy.record import EndedBy, Family

if TYPE_CHECKING:
    from opentelemetry.context import Context as Parentage
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.util.types import AttributeValue

    from proxy.meter.tally import Tally
    from proxy.record import RequestRecord

_NANOSECONDS = 1_000_000_000


class _GivenIds(IdGenerator):
    """Returns ids that were chosen before, because they were sent to the upstream."""

    def __init__(self) -> None:
        self.trace = 0
        self.span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        return self.span


class Spans:
    """Creates and sends spans. Construct and close it outside the event loop."""

    def __init__(self, exporter: SpanExporter | None = None) -> None:
        self._ids = _GivenIds()
        # OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES override the default name.
        from_environment = OTELResourceDetector().detect()
        named = Resource.create({SERVICE_NAME: "sluice"}).merge(from_environment)
        self._provider = TracerProvider(
            id_generator=self._ids, resource=named, shutdown_on_exit=False
        )
        self._provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
        self._tracer = self._provider.get_tracer("sluice")

    def onward(self, incoming: str | None) -> str:
        """Return the `traceparent` to send upstream, with the id of the future span."""
        context = Context.of(incoming)
        if context is not None:
            return context.child().header
        new_context = Context.new()
        sampled = self._provider.sampler.should_sample(None, int(new_context.trace, 16), "request")
        flags = "01" if sampled.decision is Decision.RECORD_AND_SAMPLE else "00"
        return new_context._replace(flags=flags).header

    def export(
        self, record: RequestRecord, tally: Tally, incoming: str | None, cost: float | None = None
    ) -> None:
        """Export the span of a request; `incoming` is the client's `traceparent`."""
        own = Context.of(record.traceparent)
        if own is None or not int(own.flags, 16) & TraceFlags.SAMPLED:
            return
        self._ids.trace, self._ids.span = int(own.trace, 16), int(own.parent, 16)
        # Convert times of the monotonic clock to Unix time.
        past = time.time() - time.monotonic()
        span = self._tracer.start_span(
            _name(record, tally),
            context=_parentage(incoming),
            kind=SpanKind.SERVER,
            attributes=_attributes(record, tally, cost),
            start_time=int((past + record.started_at) * _NANOSECONDS),
        )
        error = error_type(record)
        if error and record.ended_by is not EndedBy.CLIENT_LEFT:
            span.set_status(Status(StatusCode.ERROR, error))
        span.end(int((past + (record.ended_at or record.started_at)) * _NANOSECONDS))

    def close(self) -> None:
        """Send the remaining spans; it may take seconds."""
        self._provider.shutdown()


def _parentage(incoming: str | None) -> Parentage | None:
    context = Context.of(incoming)
    if context is None:
        return None
    trace, parent = int(context.trace, 16), int(context.parent, 16)
    flags = TraceFlags(int(context.flags, 16))
    remote = SpanContext(trace, parent, is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(remote))


def _family(record: RequestRecord, tally: Tally) -> Family:
    return record.family if tally.family is Family.UNKNOWN else tally.family


def _name(record: RequestRecord, tally: Tally) -> str:
    family = _family(record, tally)
    if family is Family.UNKNOWN:
        return f"{record.method} {record.route}"
    return f"{operation_of(family, record.route)} {record.model}".strip()


def _attributes(
    record: RequestRecord, tally: Tally, cost: float | None
) -> dict[str, AttributeValue]:
    """Return the attributes of the semantic conventions, and Sluice's own."""
    family, usage, token_pace = _family(record, tally), tally.usage, pace(tally)
    attributes: dict[str, AttributeValue | None] = {
        "gen_ai.operation.name": operation_of(family, record.route),
        "gen_ai.provider.name": provider_of(family),
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": tally.model,
        "gen_ai.response.id": tally.response_id,
        "gen_ai.response.finish_reasons": (tally.finish_reason,) if tally.finish_reason else None,
        "gen_ai.usage.input_tokens": usage.input_total if usage else None,
        "gen_ai.usage.output_tokens": usage.output_total if usage else None,
        "gen_ai.usage.reasoning.output_tokens": usage.reasoning if usage else None,
        "gen_ai.usage.cache_read.input_tokens": usage.cached if usage else None,
        "gen_ai.usage.cache_creation.input_tokens": usage.cache_write if usage else None,
        "http.request.method": record.method,
        "http.route": record.route,
        "http.response.status_code": record.status,
        "error.type": error_type(record),
        "sluice.request_id": record.request_id,
        "sluice.upstream": record.upstream,
        "sluice.key": record.client_key,
        "sluice.ended_by": str(record.ended_by or ""),
        "sluice.queue_seconds": record.queue_seconds,
        "sluice.time_to_first_token_seconds": time_to_first_token(record, tally),
        "sluice.time_to_first_text_seconds": time_to_first_text(record, tally),
        "sluice.output_tokens_per_second": token_pace[1] if token_pace else None,
        "sluice.cost_usd": cost,
    }
    return {name: value for name, value in attributes.items() if value is not None and value != ""}
