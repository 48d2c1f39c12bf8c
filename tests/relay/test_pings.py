"""Pings: in each family the form in which no client loses text."""

from __future__ import annotations

import pytest

from proxy.meter.stream_reader import reader_for
from proxy.record import Family
from proxy.relay.event_stream import EventStream
from proxy.relay.pings import PINGS, ping_of
from proxy.relay.sse import Framer

TOKEN = b'data: {"a": 1}'
ENDS = [b"\n", b"\r\n", b"\r"]


def test_every_family_has_its_ping() -> None:
    """Comments where they harm nobody, empty lines for Gemini, Anthropic's own event."""
    assert PINGS.keys() == set(Family)
    assert PINGS[Family.CHAT] == b": ping\n\n"
    assert PINGS[Family.GEMINI] == b"\n\n"
    assert PINGS[Family.MESSAGES] == b'event: ping\ndata: {"type": "ping"}\n\n'


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("family", Family)
def test_a_ping_sticks_to_nothing(family: Family, end: bytes) -> None:
    """Split on empty lines: the events before and after it are what they were."""
    event = TOKEN + end + end
    blocks = (event + ping_of(family, end) + event).split(end + end)
    assert blocks[0] == TOKEN
    assert blocks[-2:] == [TOKEN, b""]


@pytest.mark.parametrize("family", Family)
def test_a_ping_is_whole(family: Family) -> None:
    """Nothing of it is left to begin the next event."""
    framer = Framer()
    framer.feed(ping_of(family))
    assert framer.between_events
    assert not framer.begun


@pytest.mark.parametrize("end", ENDS)
def test_a_ping_has_the_line_ends_of_its_stream(end: bytes) -> None:
    """Some readers split on one kind only."""
    stream = EventStream(Family.GEMINI, reader_for(Family.GEMINI))
    assert stream.ping == b"\n\n"
    stream.feed(b'data: {"candidates": []}' + end + end, 0.0)
    stream.feed(b"", 0.0)
    assert stream.ping == end + end
