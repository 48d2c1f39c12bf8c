"""Whether the first bytes of an event stream are a failure that a 200 only hides."""

from __future__ import annotations

from proxy.errors import SluiceError, UpstreamOverloaded
from proxy.meter.reader import reader_for
from proxy.record import EventKind, Family
from proxy.relay.sse import Framer


def is_decidable(first: bytes) -> bool:
    """Whether there is a first event, or something that is none, to go by."""
    if b"\n\n" in first:
        return True
    framer = Framer()
    return bool(framer.feed(first)) or framer.between_events


def hidden_error(family: Family, first: bytes) -> SluiceError | None:
    """The failure that the first event tells of, where another attempt may help.

    Anthropic sends `overloaded_error` as the first event of a 200 (API reference, "Errors"); the
    others have it in the code or in the message.
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
