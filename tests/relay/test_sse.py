"""Framing: whole, byte by byte, with a tail, and with every line end there is."""

from __future__ import annotations

import base64
import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.relay.sse import HELD_BYTES, TAIL_BYTES, Framer, ServerSentEvent
from tests.fixtures.recordings import CORPUS
from tests.fuzz.sse import same_events


def told(chunks: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Name and data of every event that a framer finds in the chunks."""
    framer = Framer()
    events: list[ServerSentEvent] = []
    for chunk in chunks:
        single = framer.single(chunk)
        events += framer.feed(chunk) if single is None else [ServerSentEvent(chunk, b"", single)]
    return [(event.name, event.data) for event in events if event.data is not None]


def byte_by_byte(text: bytes) -> list[bytes]:
    return [text[i : i + 1] for i in range(len(text))]


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_every_line_end(end: bytes) -> None:
    """LF, CRLF and CR give the same events, whole or byte by byte."""
    lines = [b"event: a", b"data: 1", b"data: 2", b"", b": c", b"data:3", b""]
    lines += [b"id: 7", b"data", b""]
    text = end.join(lines) + end + b"data: last" + end + end
    expected = [(b"a", b"1\n2"), (b"", b"3"), (b"", b""), (b"", b"last")]
    assert told([text]) == expected
    assert told(byte_by_byte(text)) == expected


@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"])
def test_two_pieces(end: bytes) -> None:
    """Wherever the cut is, in a line end or after a single byte, the events are the same."""
    text = end.join([b"", b"", b"data: 1", b"", b"data: 2", b"", b""])
    for place in range(len(text)):
        assert told([text[:place], text[place:]]) == [(b"", b"1"), (b"", b"2")], place


def test_a_tail_stays_partial() -> None:
    """What has not ended is held, and no event."""
    framer = Framer()
    assert [e.data for e in framer.feed(b"data: a\n\ndata: b")] == [b"a"]
    assert bytes(framer.partial) == b"data: b"
    assert not framer.between_events
    assert [e.data for e in framer.feed(b"\n\n")] == [b"b"]
    assert framer.between_events


def test_the_common_case_is_told_without_parsing() -> None:
    """One whole event of one data line gives its payload at once; anything else does not."""
    assert Framer().single(b'data: {"a":1}\n\n') == b'{"a":1}'
    two = b"data: a\n\ndata: b\n\n"
    for other in (two, b"data: a\n", b"data: a\rb\n\n", b"data:a\n\n", b"\n\n"):
        assert Framer().single(other) is None


def test_a_chunk_after_half_an_event_is_not_the_common_case() -> None:
    """While an event is unfinished, what looks like a whole one is its continuation."""
    framer = Framer()
    framer.feed(b"data: ")
    assert framer.single(b"data: x\n\n") is None
    assert [e.data for e in framer.feed(b"data: x\n\n")] == [b"data: x"]


@pytest.mark.parametrize(
    ("sent", "free"),
    [
        (b"", True),
        (b"data: a\n\n", True),
        (b"data: a\n\n: ping\n", True),
        (b"data: a\n\n\n", True),
        (b"data: a\n\n: pi", False),
        (b"data: a\n", False),
        (b"data: a\n\nid: 4\n", False),
        (b"data: a\r\n\r", False),
        (b"data: a\r\r", True),
    ],
)
def test_where_a_ping_may_stand(sent: bytes, free: bool) -> None:
    """Between events and after whole comments, and nowhere inside an event."""
    framer = Framer()
    framer.feed(sent)
    assert framer.between_events is free


def test_an_event_too_long_to_hold() -> None:
    """Of an oversized event only its head and tail are kept, and its end is still seen."""
    framer = Framer()
    long = b"event: big\ndata: {" + b"x" * (3 * HELD_BYTES) + b'"usage":1}'
    events = []
    for start in range(0, len(long), 65536):
        events += framer.feed(long[start : start + 65536])
        assert len(framer.partial) <= HELD_BYTES
    assert events == []
    assert framer.oversized
    assert not framer.between_events
    [event, after] = framer.feed(b"\n\ndata: next\n\n")
    assert event.name == b"big"
    assert event.data is not None
    assert event.data.startswith(b"{xxx")
    assert event.tail is not None
    assert event.tail.endswith(b'"usage":1}\n\n')
    assert after.data == b"next"


def test_the_longest_event_that_is_held() -> None:
    """It has its data whole; one byte more is too long, end or no end."""
    framer = Framer()
    framer.feed(b"data: " + b"x" * (HELD_BYTES - len(b"data: ")))
    assert not framer.oversized
    framer.feed(b"x")
    assert framer.oversized


def test_a_byte_order_mark_before_an_event_that_does_not_end() -> None:
    """It is skipped there too."""
    framer = Framer()
    framer.feed(b"\xef\xbb\xbfdata: [DONE]")
    last = framer.unfinished()
    assert last is not None
    assert last.data == b"[DONE]"


def test_a_byte_order_mark_that_is_not_the_streams_first() -> None:
    """It is part of its line, also where the event is too long to hold."""
    framer = Framer()
    framer.feed(b"data: a\n\n\xef\xbb\xbfdata: " + b"x" * HELD_BYTES)
    [event] = framer.feed(b"\n\n")
    assert event.tail is not None
    assert event.data is None
    framer = Framer()
    assert framer.single(b"data: a\n\n") == b"a"
    assert framer.feed(b"\xef\xbb\xbfdata: b\n\n")[0].data is None


def test_of_an_event_too_long_to_hold_only_head_and_tail_are_held() -> None:
    """However long it is, and whether or not it comes to an end."""
    framer = Framer()
    framer.feed(b"data: begun" + b"x" * HELD_BYTES)
    for size in (HELD_BYTES, 60_000, 60_000, 1, 2 * HELD_BYTES):
        framer.feed(b"y" * size)
        assert len(framer._tail) + len(framer.partial) <= TAIL_BYTES + 3
    framer.feed(b"end")
    begun = framer.unfinished()
    assert begun is not None
    assert begun.data is not None
    assert begun.data.startswith(b"begunx")
    assert begun.tail is not None
    assert begun.tail.endswith(b"yyyend")
    assert len(begun.tail) == TAIL_BYTES
    framer.feed(b"\n\n")
    # A byte order mark is the stream's first bytes or nothing.
    assert framer.feed(b"\xef\xbb\xbfdata: a\n\n")[0].data is None


def test_empty_lines_are_events_of_their_own() -> None:
    """At the beginning, one after the other, and in two pieces."""
    assert [event.raw for event in Framer().feed(b"\n\ndata: a\n\n")] == [b"\n\n", b"data: a\n\n"]
    framer = Framer()
    assert [event.raw for event in framer.feed(b"data: a\n\n\n\n")] == [b"data: a\n\n", b"\n\n"]
    assert framer.feed(b"\n") == []
    assert [event.raw for event in framer.feed(b"\n")] == [b"\n\n"]
    assert framer.single(b"data: b\n\n") == b"b"


def test_bare_json_is_stray_text() -> None:
    """A JSON document that is no field is handed over as it is, even over several lines."""
    framer = Framer()
    [event] = framer.feed(b'{\n "error": {"code": 429}\n}\n\n')
    assert event.data is None
    assert json.loads(event.stray)["error"]["code"] == 429


# Bytes in, (name, data) of the events out (WHATWG HTML, 9.2.6).
EVENT_SOURCE = [
    (b"data: a\ndata: b\n\n", [("", "a\nb")]),
    (b"data:a\r\rdata:  b\r\n\r\n", [("", "a"), ("", " b")]),
    (b"event: x\ndata: 1\n\ndata: 2\n\n", [("x", "1"), ("", "2")]),
    (b": only a comment\n\n", []),
    (b"data\n\ndata\ndata\n\ndata:", [("", ""), ("", "\n")]),
    (b"event: nothing\n\nid: 7\n\n", []),
    (b"\xef\xbb\xbfdata: after the mark\n\n", [("", "after the mark")]),
    (b"retry: 10\ndata: \xe2\x82\xac\nunknown: y\n\n", [("", "\u20ac")]),
    (b"data: not ended\n", []),
]


def event_source_cases() -> list[tuple[bytes, list[tuple[str, str]]]]:
    """Those above, and the web platform tests' own where they are at hand."""
    path = CORPUS / "wpt-eventsource.json"
    cases = json.loads(path.read_text())["cases"] if path.is_file() else []
    return EVENT_SOURCE + [
        (
            base64.b64decode(case["input_base64"]),
            [
                ("" if event["type"] == "message" else event["type"], event["data"])
                for event in case["all_events"]
            ],
        )
        for case in cases
        if case.get("opens", True)
    ]


def test_the_events_that_browsers_dispatch() -> None:
    """They are those that the framer finds, at every cut."""
    for text, expected in event_source_cases():
        for chunks in ([text], byte_by_byte(text)):
            events = [(n.decode(), d.decode(errors="replace")) for n, d in told(chunks)]
            assert events == expected, text


LINES = st.sampled_from(
    ["data: a", "data: {}", "data:", ": c", "event: x", "id: 1", "", "", "{", "data: €"]
)


@given(
    st.lists(LINES, max_size=30),
    st.sampled_from([b"\n", b"\r\n", b"\r"]),
    st.lists(st.integers(0, 400), max_size=20),
)
def test_the_same_events_however_it_is_cut(lines: list[str], end: bytes, cuts: list[int]) -> None:
    """Any stream, cut anywhere, gives the same events and loses no byte."""
    text = b"".join(line.encode() + end for line in lines)
    places = sorted({0, len(text), *(c for c in cuts if c < len(text))})
    chunks = [text[a:b] for a, b in itertools.pairwise(places)]
    assert told(chunks) == told([text]) == told(byte_by_byte(text))
    same_events(chunks)
