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
            events += [piece] if cutter.is_single(piece) else cutter.feed(piece)
    return events, cutter.rest


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.data())
def test_the_same_events_however_it_is_cut(pieces: list[bytes], data: st.DataObject) -> None:
    """Cuts inside characters, lines and line ends change nothing, and no byte is lost."""
    raw = b"".join(pieces)
    places = data.draw(st.lists(st.integers(0, len(raw)), max_size=12))
    events, rest = cut(raw, places)
    assert (events, rest) == cut(raw, [])
    assert b"".join(events) + rest == raw


@pytest.mark.parametrize("recording", recordings(), ids=lambda one: one.name)
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
    ("data", "single"),
    [
        (b"data: a\n\n", True),
        (b"event: x\ndata: a\n\n", True),
        (b"data: a\n", False),
        (b"data: a\n\ndata: b\n\n", False),
        (b": ping\n\n", False),
        (b"\ndata: a\n\n", False),
        (b"data: a\r\n\n", False),
        (b"data: progress\n\n", False),
    ],
)
def test_the_common_case_is_told_without_framing(data: bytes, single: bool) -> None:
    """Each token of each stream; what only may be one event is framed."""
    cutter = EventCutter()
    assert cutter.is_single(data) is single
    cutter.feed(b"data: half")
    assert not cutter.is_single(data)
