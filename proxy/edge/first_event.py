"""Detects an overload error in the first event of a stream with status 200."""

from __future__ import annotations

from proxy.errors import SluiceError, UpstreamOverloaded
from proxy.meter.stream_reader import reader_for
from proxy.record import EventKind, Family
from proxy.relay.sse import Framer


def is_decidable(first: bytes) -> bool:
    """Whether the bytes hold a whole event, or cannot be the start of one."""
    if b"\n\n" in first:
        return True
    framer = Framer()
    return bool(framer.feed(first)) or framer.between_events


def hidden_error(family: Family, first: bytes) -> SluiceError | None:
    """Return the error in the first event, if a retry may help.

    Anthropic sends `overloaded_error` as the first event of a 200 (API reference, "Errors"); other
    upstreams name the overload in the error's code or message.
    """
    if b"overload" not in first.lower():
        return None
    reader = reader_for(family)
    for event in Framer().feed(first):
        if event.data is None:
            continue
        kind = reader.event(event.name, event.data, 0.0)
        if kind is EventKind.ERROR and b"overload" in event.data.lower():
            return UpstreamOverloaded("The upstream is overloaded.")
        return None
    return None
