"""A stream whose events are kept: what the client gets and what the log has are the same."""

from __future__ import annotations

import pytest

from proxy.errors import Drained
from proxy.meter.stream_reader import reader_for
from proxy.record import EndedBy, Family
from proxy.relay.recorded_stream import RecordedStream, ping_for, recorded_ping
from tests.relay.test_body_filter import Events

TOKEN = b'data: {"choices":[{"delta":{"content":"a"},"index":0}]}\n\n'
FINISH = b'data: {"choices":[{"delta":{},"index":0,"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":1}}\n\n'
DONE = b"data: [DONE]\n\n"
BODY = TOKEN + TOKEN + FINISH + USAGE + DONE


def recorded(*, hides_usage: bool = False) -> tuple[RecordedStream, Events]:
    log = Events()
    reader = reader_for(Family.CHAT)
    return RecordedStream(Family.CHAT, reader, log, hides_usage=hides_usage), log


def fed(stream: RecordedStream, body: bytes, size: int) -> bytes:
    """What the client gets of a body that comes in pieces of this size."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(stream.feed(piece, 1.0) for piece in pieces)


@pytest.mark.parametrize("size", [1, 2, 7, 60, len(BODY)])
def test_the_log_has_what_the_client_got(size: int) -> None:
    """Whole events, however the bytes were cut."""
    stream, log = recorded()
    sent = fed(stream, BODY, size)
    ended_by, owed = stream.close(2.0)
    assert sent + owed == b"".join(log) == BODY
    assert log == [TOKEN, TOKEN, FINISH, USAGE, DONE]
    assert (ended_by, stream.rest) == (EndedBy.COMPLETE, b"")


@pytest.mark.parametrize("size", [1, 2, 7, 60, len(BODY)])
@pytest.mark.parametrize("every", [1, 2, 3])
def test_events_may_be_taken_away_at_any_time(size: int, every: int) -> None:
    """In the midst of an event, too: none is lost, doubled or out of order."""
    stream, log = recorded()
    taken: list[bytes] = []
    for number, start in enumerate(range(0, len(BODY), size)):
        stream.feed(BODY[start : start + size], 1.0)
        if number % every == 0:
            taken += log
            log.clear()
    stream.close(2.0)
    assert taken + log == [TOKEN, TOKEN, FINISH, USAGE, DONE]


@pytest.mark.parametrize("size", [1, 7, len(BODY)])
def test_what_the_client_is_spared_is_not_in_the_log(size: int) -> None:
    """Who resumes sees the same stream."""
    stream, log = recorded(hides_usage=True)
    sent = fed(stream, BODY, size)
    _, owed = stream.close(2.0)
    assert sent + owed == b"".join(log) == BODY.replace(USAGE, b"")


def test_a_break_is_in_the_log_as_well() -> None:
    """With the half event before it spoiled as the client saw it."""
    stream, log = recorded()
    sent = stream.feed(TOKEN + TOKEN[:20], 1.0)
    ending = stream.cut(Drained("Stopping."), "id-1")
    assert sent + ending == b"".join(log) + stream.rest
    assert b"gateway_stopped" in log[-1]


def test_half_an_event_is_no_event() -> None:
    """It is kept beside the log, for a reader must not take it for one."""
    stream, log = recorded()
    stream.feed(TOKEN + TOKEN[:20], 1.0)
    assert (log, stream.rest) == ([TOKEN], TOKEN[:20])


@pytest.mark.parametrize("family", list(Family))
def test_a_ping_never_moves_a_cursor(family: Family) -> None:
    """A comment is no event; one of a stream that nobody can resume may be."""
    ping = ping_for(family, recorded=True)
    assert ping.startswith(b":") or ping == b"" or not ping.strip()
    assert ping_for(family, recorded=False)


def test_anthropics_ping_is_an_event_elsewhere() -> None:
    """So that it has a form of its own here."""
    assert recorded_ping(Family.MESSAGES) != ping_for(Family.MESSAGES, recorded=False)
    stream = RecordedStream(Family.MESSAGES, reader_for(Family.MESSAGES), Events())
    assert stream.ping == recorded_ping(Family.MESSAGES)
