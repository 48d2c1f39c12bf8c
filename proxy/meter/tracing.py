"""The W3C trace context, passed on or begun, and one OpenTelemetry span for each request.

The context is text and costs nothing. Spans need the extra `otel` and are made only where
`OTEL_EXPORTER_OTLP_ENDPOINT` says where they should go; a thread of the SDK sends them.
"""

from __future__ import annotations

import re
import secrets

_SHAPE = re.compile(r"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1


def onward(incoming: str | None, *, own_span: bool = False) -> str:
    """The `traceparent` to send upstream (W3C Trace Context, section 3.2).

    A valid one is passed on, with a parent id of our own if we will export a span under it; an
    invalid one is as if there were none, and a trace is begun.
    """
    found = _parse(incoming)
    if found is None:
        return f"00-{_new_id(16)}-{_new_id(8)}-01"
    trace, parent, flags = found
    return f"00-{trace}-{_new_id(8) if own_span else parent}-{flags}"


def trace_id_of(traceparent: str) -> str:
    """The trace id of a valid `traceparent`; empty if it is none."""
    found = _parse(traceparent)
    return found[0] if found else ""


def _parse(header: str | None) -> tuple[str, str, str] | None:
    match = _SHAPE.fullmatch((header or "").strip())
    if match is None or (match.group().startswith("00-") and len(match.group()) != 55):
        return None
    trace, parent, flags = match.groups()
    return None if not trace.strip("0") or not parent.strip("0") else (trace, parent, flags)


def _new_id(size: int) -> str:
    while not (made := secrets.token_hex(size)).strip("0"):
        continue
    return made
