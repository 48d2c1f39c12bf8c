"""One stream's bytes in and out: unchanged when healthy, never finished when cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamCut
from proxy.meter.stream_reader import reader_for
from proxy.record import EndedBy, Family
from proxy.relay.event_stream import EventStream
from proxy.relay.sse import HELD_BYTES, Framer

CUT = UpstreamCut("The upstream closed the stream without its end marker.")


def chunk(content: str = "", finish: str | None = None, **more: object) -> bytes:
    choice = {"index": 0, "delta": {"content": content}, "finish_reason": finish}
    document = {"id": "c", "object": "chat.completion.chunk", "choices": [choice]} | more
    return f"data: {json.dumps(document)}\n\n".encode()


USAGE = chunk(choices=[], usage={"prompt_tokens": 3, "completion_tokens": 2})
TOKENS = [chunk("Hé"), chunk("llo 👍")]
FINISH = chunk(finish="stop")
DONE = b"data: [DONE]\n\n"
HEALTHY = b"".join([b": hello\n\n", *TOKENS, FINISH, DONE])
WITH_USAGE = b"".join([*TOKENS, FINISH, USAGE, DONE])


def stream(*, hides_usage: bool = False, family: Family = Family.CHAT) -> EventStream:
    return EventStream(family, reader_for(family), hides_usage=hides_usage)


def through(relay: EventStream, text: bytes, size: int) -> bytes:
    return b"".join(
        relay.feed(text[start : start + size], 1.0) for start in range(0, len(text), size)
    )


@pytest.mark.parametrize("size", [1, 2, 7, 64, 10_000])
def test_a_healthy_stream_leaves_as_it_came(size: int) -> None:
    """Byte for byte, however it is cut, and complete."""
    relay = stream()
    assert through(relay, HEALTHY, size) == HEALTHY
    assert relay.close(2.0) == (EndedBy.COMPLETE, b"")


def test_each_read_goes_out_at_once() -> None:
    """Half an event is passed on before its other half has come."""
    relay = stream()
    assert relay.feed(TOKENS[0][:20], 1.0) == TOKENS[0][:20]
    assert relay.feed(TOKENS[0][20:], 1.0) == TOKENS[0][20:]


@pytest.mark.parametrize("size", [1, 3, 11, 10_000])
def test_usage_asked_for_on_the_clients_behalf_is_kept_from_it(size: int) -> None:
    """The usage chunk is metered and not passed on; every other byte is."""
    relay = stream(hides_usage=True)
    assert through(relay, WITH_USAGE, size) == WITH_USAGE.replace(USAGE, b"")
    assert relay.close(2.0) == (EndedBy.COMPLETE, b"")


def test_usage_the_client_asked_for_is_passed_on() -> None:
    """Nothing is hidden from a client that asked for it."""
    assert through(stream(), WITH_USAGE, 5) == WITH_USAGE


def test_tokens_are_not_withheld_where_usage_is_hidden() -> None:
    """Only what may be the usage chunk waits; half a token does not."""
    relay = stream(hides_usage=True)
    assert relay.feed(TOKENS[0][:9], 1.0) == TOKENS[0][:9]


@pytest.mark.parametrize("line_end", [b"\n\n", b"\n", b""])
def test_an_end_mark_without_its_empty_line_at_a_clean_end(line_end: bytes) -> None:
    """Some servers leave the last empty line out: such a stream is complete, byte for byte."""
    relay = stream()
    text = TOKENS[0] + FINISH + b"data: [DONE]" + line_end
    out = through(relay, text, 10_000)
    ended_by, owed = relay.close(2.0)
    assert (ended_by, out + owed) == (EndedBy.COMPLETE, text)


def test_half_an_end_mark_does_not_leave() -> None:
    """Clients take `[DONE]` for the end as soon as its line begins, so half of it stays here."""
    relay = stream()
    out = relay.feed(TOKENS[0] + b"data: [DONE]", 1.0)
    assert out == TOKENS[0]
    assert b"[DONE]" not in out + relay.cut(CUT, "r")


def test_a_clean_end_after_every_finish_reason_is_an_end() -> None:
    """Providers that never send `[DONE]` are complete once every choice has finished."""
    relay = stream()
    relay.feed(TOKENS[0] + FINISH, 1.0)
    assert relay.close(2.0) == (EndedBy.COMPLETE, b"")


@pytest.mark.parametrize("text", [b"", TOKENS[0], TOKENS[0] + FINISH[:30], b": only pings\n\n" * 3])
def test_a_clean_end_in_mid_answer_is_a_cut(text: bytes) -> None:
    """However cleanly the body ended, without finish reason or end mark it is a cut."""
    relay = stream()
    relay.feed(text, 1.0)
    assert relay.close(2.0)[0] is EndedBy.UPSTREAM_CUT


def test_an_unknown_family_ends_where_its_body_ends() -> None:
    """Where no rules are known, a clean end is a true end."""
    relay = stream(family=Family.UNKNOWN)
    relay.feed(b"data: whatever\n\n", 1.0)
    assert relay.close(2.0)[0] is EndedBy.COMPLETE


def test_an_error_inside_the_stream_is_its_outcome() -> None:
    """An upstream's own error is passed on and is what the stream ended by."""
    relay = stream()
    error = b'data: {"error": {"message": "no", "type": "server_error"}}\n\n'
    assert relay.feed(TOKENS[0] + error, 1.0) == TOKENS[0] + error
    assert relay.close(2.0)[0] is EndedBy.ERROR_EVENT


def test_a_long_event_that_begins_in_the_read_that_brought_the_usage() -> None:
    """Of it nothing is lost, though it is too long to hold and the usage before it is hidden."""
    relay = stream(hides_usage=True)
    relay.feed(FINISH, 1.0)
    long = b"data: " + b"x" * (HELD_BYTES + 1)
    assert relay.feed(USAGE + long, 1.0) == long
    assert relay.feed(b"y\n\n", 1.0) == b"y\n\n"


def test_a_cut_in_a_comment_too_long_to_withhold() -> None:
    """Its line is ended first, or the client would read the error as the rest of the comment."""
    relay = stream(hides_usage=True)
    out = relay.feed(FINISH, 1.0) + relay.feed(b": " + b"x" * (65 * 1024), 1.0)
    out += relay.feed(b"x\n", 1.0)
    events = Framer().feed(out + relay.cut(CUT, "r"))
    assert json.loads(events[-1].data or b"")["error"]["code"] == "upstream_cut"


def test_a_bare_json_error_at_the_end_is_an_error() -> None:
    """Vertex may end a stream with a JSON document that is no event."""
    relay = stream(family=Family.GEMINI)
    relay.feed(b'{"error": {"code": 503, "message": "gone", "status": "UNAVAILABLE"}}', 1.0)
    assert relay.close(2.0)[0] is EndedBy.ERROR_EVENT


def test_only_data_moves_the_idle_clock() -> None:
    """Comments and the family's own pings leave `data_at` where it was."""
    relay = stream(family=Family.MESSAGES)
    relay.feed(b": ping\n\n", 1.0)
    relay.feed(b'event: ping\ndata: {"type": "ping"}\n\n', 2.0)
    assert relay.data_at is None
    relay.feed(b'event: message_start\ndata: {"type": "message_start"}\n\n', 3.0)
    assert relay.data_at == 3.0


@given(st.integers(1, len(WITH_USAGE) - 1), st.integers(1, 50), st.booleans())
def test_a_cut_anywhere_never_looks_finished(place: int, size: int, hides: bool) -> None:
    """What the client got is a prefix, then an error that parses, and no end mark."""
    relay = stream(hides_usage=hides)
    before = through(relay, WITH_USAGE[:place], size)
    text = before + relay.cut(CUT, "req-1")
    events = [e.data for e in Framer().feed(text) if e.data is not None]
    assert json.loads(events[-1])["error"]["code"] == "upstream_cut"
    whole = [e.data for e in Framer().feed(WITH_USAGE[:place]) if e.data is not None]
    if DONE not in WITH_USAGE[:place]:
        assert not any(data.startswith(b"[DONE]") for data in events)
    expected = [data for data in whole if not (hides and b'"usage"' in data)]
    assert events[: len(expected)] == expected
    assert Framer().feed(text)[-1].raw.endswith(b"\n\n")
