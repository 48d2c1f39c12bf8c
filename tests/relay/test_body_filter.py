"""What every body passes through, whether it is looked into or not."""

from __future__ import annotations

import pytest

from proxy.errors import Drained
from proxy.meter.stream_reader import reader_for
from proxy.record import EndedBy, Family
from proxy.relay.body_filter import BodyFilter
from proxy.relay.event_stream import EventStream
from proxy.relay.opaque_body import OpaqueBody
from proxy.relay.recorded_stream import RecordedStream

BODY = b'data: {"choices":[{"delta":{"content":"a"},"index":0}]}\n\ndata: [DONE]\n\n'


class Events(list[bytes]):
    """A log that keeps its events in a list."""

    @property
    def pending(self) -> list[bytes]:
        return self

    def add(self, event: bytes) -> None:
        self.append(event)


def filters() -> list[BodyFilter]:
    """One of each kind, fresh."""
    return [
        OpaqueBody(keep=False),
        OpaqueBody(keep=True),
        EventStream(Family.CHAT, reader_for(Family.CHAT)),
        RecordedStream(Family.CHAT, reader_for(Family.CHAT), Events()),
    ]


@pytest.mark.parametrize("size", [1, 7, len(BODY)])
@pytest.mark.parametrize("number", range(len(filters())))
def test_a_whole_body_leaves_as_it_came(number: int, size: int) -> None:
    """However it is cut, the client gets its bytes, and its end is a true one."""
    body_filter = filters()[number]
    sent = b"".join(
        body_filter.feed(BODY[start : start + size], 1.0) for start in range(0, len(BODY), size)
    )
    ended_by, owed = body_filter.close(2.0)
    assert sent + owed == BODY
    assert ended_by is EndedBy.COMPLETE


@pytest.mark.parametrize("number", range(len(filters())))
def test_nothing_has_passed_yet(number: int) -> None:
    """Neither a time nor an end is made up before the first byte."""
    body_filter = filters()[number]
    assert (body_filter.data_at, body_filter.first_token_at, body_filter.end) == (None, None, None)


@pytest.mark.parametrize("number", range(len(filters())))
def test_the_times_are_those_of_the_bytes(number: int) -> None:
    """The first token's is kept, the last data's moves on."""
    body_filter = filters()[number]
    event = BODY[: BODY.index(b"\n\n") + 2]
    body_filter.feed(event, 3.0)
    body_filter.feed(event, 5.0)
    assert (body_filter.first_token_at, body_filter.data_at) == (3.0, 5.0)


@pytest.mark.parametrize("number", range(len(filters())))
def test_a_break_is_said_where_a_ping_could_stand(number: int) -> None:
    """A body of unknown form has no place for either; an event stream has one for both."""
    body_filter = filters()[number]
    ending = body_filter.cut(Drained("Stopping."), "id-1")
    assert bool(ending) is body_filter.between_events is bool(body_filter.ping)
