"""What broken streams say, family by family."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.errors import UpstreamCut
from proxy.meter.stream_reader import reader_for
from proxy.record import Family
from proxy.relay.sse import Framer
from proxy.relay.terminal_event import spoil, terminal_event

CUT = UpstreamCut("The upstream closed the stream without its end marker.")


@pytest.mark.parametrize("family", list(Family))
def test_the_error_event_is_one_whole_event(family: Family) -> None:
    """Every family's error is one event that names the request, and no end mark."""
    text = terminal_event(family, CUT, "req-1", reader_for(family))
    [event] = Framer().feed(text)
    assert event.data is not None
    document = json.loads(event.data)
    assert "req-1" in json.dumps(document)
    assert document["error"]["code"] == (502 if family is Family.GEMINI else "upstream_cut")
    assert b"[DONE]" not in text


def test_a_failed_response_goes_on_counting() -> None:
    """`response.failed` carries the answer's own id and the next sequence number."""
    reader = reader_for(Family.RESPONSES)
    reader.event(
        b"response.created",
        b'{"type":"response.created","sequence_number":0,"response":{"id":"resp_7"}}',
        0.0,
    )
    reader.event(
        b"response.output_text.delta",
        b'{"type":"response.output_text.delta","sequence_number":4,"delta":"a"}',
        0.1,
    )
    [event] = Framer().feed(terminal_event(Family.RESPONSES, CUT, "req-1", reader))
    document = json.loads(event.data or b"")
    assert event.name == b"response.failed"
    assert document["type"] == "response.failed"
    assert document["sequence_number"] == 5
    assert document["response"]["id"] == "resp_7"
    assert document["response"]["status"] == "failed"


WHOLE = 'event: content_block_delta\ndata: {"type":"content_block_delta","t":"h€l👍o"}\n\n'.encode()


@pytest.mark.parametrize("family", list(Family))
def test_half_an_event_never_passes_for_a_whole_one(family: Family) -> None:
    """Cut at any byte, the event is ended, is invalid JSON, and the error after it parses."""
    for place in range(1, len(WHOLE)):
        begun = WHOLE[:place]
        error = terminal_event(family, CUT, "req-1", reader_for(family))
        text = begun + spoil(begun, family) + error
        text.decode()
        events = [e for e in Framer().feed(text) if e.data is not None]
        json.loads(events[-1].data or b"")
        for event in events[:-1]:
            assert event.data is not None
            with pytest.raises(ValueError, match="."):
                json.loads(event.data)
            assert event.name == (b"ping" if family is Family.MESSAGES else b"incomplete")


@given(st.text(min_size=1), st.integers(0, 400))
def test_a_cut_inside_a_character_stays_valid_utf8(text: str, place: int) -> None:
    """Wherever UTF-8 is cut, the whole can still be decoded strictly."""
    begun = ("data: " + text).encode()[: 7 + place]
    (begun + spoil(begun, Family.CHAT)).decode()
