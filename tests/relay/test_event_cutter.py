from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.relay.event_cutter import EventCutter, counts
from tests.integration.corpus import recordings

PIECES = [
    b"data: a\n\n",
    "data: ü€😀\n\n".encode(),
    b"event: x\ndata: b\n\n",
    b": ping\n\n",
    b"\n\n",
    b": note\ndata: c\n\n",
    b"event: progress\ndata: {}\n\n",
    b"data: d\r\n\r\n",
    b"data: progress\n\n",
    b"data: half",
]


def cut(raw: bytes, places: list[int]) -> tuple[list[bytes], bytes]:
    """The events of a stream that came in pieces, the way that the relay asks for them."""
    cutter, events, start = EventCutter(), list[bytes](), 0
    for end in [*sorted(places), len(raw)]:
        piece = raw[start:end]
        start = end
        if piece:
            events += cutter.feed(piece)
    return events, cutter.rest


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.data())
def test_the_same_events_however_it_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    """Cuts inside characters, lines and line ends change nothing, and no byte is lost."""
    raw = b"".join(pieces)
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    events, rest = cut(raw, places)
    assert (events, rest) == cut(raw, [])
    assert b"".join(events) + rest == raw


@pytest.mark.parametrize("recording", recordings(), ids=lambda recording: recording.name)
def test_recorded_streams_byte_by_byte(recording: object) -> None:
    """Every family's streams come apart into the same events in the smallest pieces."""
    raw: bytes = recording.raw  # type: ignore[attr-defined]
    raw = raw[:20_000]
    whole = cut(raw, [])
    assert b"".join(whole[0]) + whole[1] == raw
    assert cut(raw, list(range(len(raw)))) == whole


@pytest.mark.parametrize(
    ("block", "counted"),
    [
        (b"data: a\n\n", True),
        (b"id: 1\n\n", True),
        (b": a\ndata: b\n\n", True),
        (b": a\n\n", False),
        (b"\n\n", False),
        (b"\r\n\r\n", False),
        (b"event: progress\ndata: {}\n\n", False),
        (b"data: {}\nevent:progress\n\n", False),
        (b"event: progressing\ndata: {}\n\n", True),
    ],
)
def test_what_counts(block: bytes, counted: bool) -> None:
    """An event has a line that is no comment, and is no progress frame."""
    assert counts(block) is counted


@pytest.mark.parametrize(
    ("data", "events", "rest"),
    [
        (b"data: a\n\n", [b"data: a\n\n"], b""),
        (b"event: x\ndata: a\n\n", [b"event: x\ndata: a\n\n"], b""),
        (b"data: a\n", [], b"data: a\n"),
        (b"data: a\n\ndata: b\n\n", [b"data: a\n\n", b"data: b\n\n"], b""),
        (b"data: a\n\n\ndata: b\n\n", [b"data: a\n\n", b"\ndata: b\n\n"], b""),
        (b"data: a\n\n\n", [b"data: a\n\n"], b"\n"),
        (b"data: a\n\n\n\n", [b"data: a\n\n"], b"\n\n"),
        (b": ping\n\n", [], b": ping\n\n"),
        (b"data: a\n\n: ping\n\n", [b"data: a\n\n"], b": ping\n\n"),
        (b"\ndata: a\n\n", [b"\ndata: a\n\n"], b""),
        (b"data: a\r\n\n", [b"data: a\r\n\n"], b""),
        (b"data: a\r\n\r\ndata: b\n\n", [b"data: a\r\n\r\n", b"data: b\n\n"], b""),
        (b"data: progress\n\n", [b"data: progress\n\n"], b""),
        (b"event: progress\ndata: 1\n\n", [], b"event: progress\ndata: 1\n\n"),
    ],
)
def test_whole_reads_are_split_as_they_are_framed(
    data: bytes, events: list[bytes], rest: bytes
) -> None:
    """What comes whole is split without framing; after half an event it is framed, and the same."""
    cutter = EventCutter()
    assert (cutter.feed(data), cutter.rest) == (events, rest)
    cutter = EventCutter()
    assert cutter.feed(b"data: ") == []
    cut = cutter.feed(b"half\n\n" + data)
    assert (cut, cutter.rest) == ([b"data: half\n\n", *events], rest)


def test_a_comment_of_an_earlier_read_stays_before_its_event() -> None:
    """Whole events that come after it are not handed out past it."""
    cutter = EventCutter()
    assert cutter.feed(b": ping\n\n") == []
    assert cutter.feed(b"data: a\n\n") == [b": ping\n\ndata: a\n\n"]
    assert cutter.rest == b""
