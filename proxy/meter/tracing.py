"""Enables spans if the environment sets an OTLP endpoint.

`proxy.meter.spans` is imported only then; it needs the extra `otel`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.meter.spans import Spans

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")


class SpansUnavailable(RuntimeError):
    """Spans are enabled, but the extra `otel` is not installed."""


def spans_asked_for(environ: Mapping[str, str]) -> Spans | None:
    """Return the exporter of spans if the environment sets an endpoint; else None.

    Raises SpansUnavailable if the extra `otel` is not installed.
    """
    off = environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true"
    if off or not any(environ.get(name) for name in _ENDPOINTS):
        return None
    if environ.get("OTEL_TRACES_EXPORTER", "otlp").strip() != "otlp":
        return None
    try:
        spans: Spans = import_module("proxy.meter.spans").Spans()
    except ImportError as error:
        named = next(name for name in _ENDPOINTS if environ.get(name))
        raise SpansUnavailable(
            f"{named} is set, but spans need the extra: install sluice[otel], or unset it."
        ) from error
    return spans
