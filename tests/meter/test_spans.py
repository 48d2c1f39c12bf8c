from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from proxy.meter.tally import Tally
from proxy.meter.trace_context import Context
from proxy.meter.tracing import spans_asked_for
from proxy.record import EndedBy, Family, RequestRecord
from tests.meter.requests_made import answered, counted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.meter.spans import Spans

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
INCOMING = f"00-{TRACE}-{SPAN}-01"


class Receiver:
    """An OTLP/HTTP receiver, and the spans it was sent."""

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.url = ""

    async def take(self, request: web.Request) -> web.Response:
        """Take in one batch."""
        batch = ExportTraceServiceRequest.FromString(await request.read())
        for resource in batch.resource_spans:
            self.resources.append(plain(resource.resource.attributes))
            for scope in resource.scope_spans:
                self.spans.extend(scope.spans)
        return web.Response(content_type="application/x-protobuf")


def plain(attributes: Any) -> dict[str, Any]:
    """Protobuf's key and value pairs as a dictionary."""
    seen_attributes: dict[str, Any] = {}
    for attribute in attributes:
        kind = attribute.value.WhichOneof("value")
        value = getattr(attribute.value, kind)
        if kind == "array_value":
            value = [each.string_value for each in value.values]
        seen_attributes[attribute.key] = value
    return seen_attributes


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver on a free port."""
    made = Receiver()
    app = web.Application()
    app.router.add_post("/v1/traces", made.take)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    made.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield made
    await runner.cleanup()


@pytest.fixture
async def spans(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> Spans:
    """Spans that go to the receiver, because the environment says so."""
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    made = await asyncio.to_thread(spans_asked_for, environ)
    assert made is not None
    return made


def recent(**other: Any) -> RequestRecord:
    """A request that began five seconds ago."""
    request = answered(**other)
    shift = time.monotonic() - 105.0
    for name in ("started_at", "called_at", "first_byte_at", "ended_at"):
        setattr(request, name, getattr(request, name) + shift)
    return request


async def test_a_request_is_one_span_in_the_clients_trace(receiver: Receiver, spans: Spans) -> None:
    """The upstream was sent its id, the client's span is its parent, and the time is right."""
    sent = spans.onward(INCOMING)
    request = recent(traceparent=sent)
    spans.export(request, counted(response_id="chatcmpl-1", finish_reason="stop"), INCOMING, 0.25)
    await asyncio.to_thread(spans.close)
    (span,) = receiver.spans
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == SPAN
    assert sent == f"00-{TRACE}-{span.span_id.hex()}-01"
    assert span.name == "chat m-1"
    assert (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9 == pytest.approx(5.0)
    assert abs(span.end_time_unix_nano / 1e9 - time.time()) < 60
    assert span.status.code == 0
    assert receiver.resources[0]["service.name"] == "sluice"


async def test_a_span_has_the_genai_attributes(receiver: Receiver, spans: Spans) -> None:
    """In the names of the semantic conventions."""
    request = recent(traceparent=spans.onward(None))
    spans.export(request, counted(response_id="chatcmpl-1", finish_reason="stop"), None, 0.25)
    await asyncio.to_thread(spans.close)
    attributes = plain(receiver.spans[0].attributes)
    assert {name: attributes[name] for name in attributes if name.startswith("gen_ai")} == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "m-1",
        "gen_ai.response.model": "m-1-2026",
        "gen_ai.response.id": "chatcmpl-1",
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 7,
        "gen_ai.usage.output_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 0,
        "gen_ai.usage.cache_read.input_tokens": 2,
    }
    assert attributes["http.response.status_code"] == 200
    assert attributes["sluice.ended_by"] == "complete"
    assert attributes["sluice.cost_usd"] == 0.25
    assert "error.type" not in attributes


async def test_failures_are_errors_and_clients_that_leave_are_not(
    receiver: Receiver, spans: Spans
) -> None:
    """Both say how they ended."""
    cut = recent(
        traceparent=spans.onward(None), ended_by=EndedBy.UPSTREAM_CUT, error="upstream_cut"
    )
    left = recent(traceparent=spans.onward(None), ended_by=EndedBy.CLIENT_LEFT)
    other = recent(traceparent=spans.onward(None), family=Family.UNKNOWN, route="other")
    for request in (cut, left, other):
        spans.export(request, Tally(), None)
    await asyncio.to_thread(spans.close)
    by_name = {span.name: span for span in receiver.spans}
    first, second, third = receiver.spans
    assert (first.status.code, first.status.message) == (2, "upstream_cut")
    assert plain(first.attributes)["error.type"] == "upstream_cut"
    assert (second.status.code, plain(second.attributes)["sluice.ended_by"]) == (0, "client_left")
    assert third.name == "POST other"
    assert not first.parent_span_id
    assert len(by_name) == 2


async def test_a_trace_that_is_not_sampled_makes_no_span(receiver: Receiver, spans: Spans) -> None:
    """The client decided; its flags go on to the upstream."""
    incoming = INCOMING[:-2] + "00"
    sent = spans.onward(incoming)
    assert sent.endswith("-00")
    spans.export(recent(traceparent=sent), counted(), incoming)
    spans.export(recent(traceparent=""), counted(), None)
    await asyncio.to_thread(spans.close)
    assert receiver.spans == []


async def test_the_samplers_word_is_in_the_context(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A trace begun here says upstream what was decided here."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    made = await asyncio.to_thread(spans_asked_for, asked)
    assert made is not None
    context = Context.of(made.onward(None))
    assert context is not None
    assert context.flags == "00"
    await asyncio.to_thread(made.close)


async def test_the_service_may_be_named_by_the_environment(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OTEL_SERVICE_NAME goes before our own name."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url)
    monkeypatch.setenv("OTEL_SERVICE_NAME", "edge-eu")
    asked = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
    made = await asyncio.to_thread(spans_asked_for, asked)
    assert made is not None
    made.export(recent(traceparent=made.onward(None)), counted(), None)
    await asyncio.to_thread(made.close)
    assert receiver.resources[0]["service.name"] == "edge-eu"
