from __future__ import annotations

import pytest

from proxy.meter.server_timing import server_timing, trailing_comment
from proxy.meter.tally import TEXT, Tally
from proxy.record import Family, RequestRecord
from proxy.relay.sse import Framer
from tests.meter.requests_made import answered, counted


def test_server_timing_tells_queue_connect_and_first_byte() -> None:
    """In milliseconds, in the order in which they happened."""
    assert server_timing(answered()) == "queue;dur=250.0, connect;dur=250.0, first-byte;dur=250.0"


def test_what_has_not_happened_is_not_told() -> None:
    """Headers may leave before the upstream has said a byte, or without one being asked."""
    waiting = answered(first_byte_at=None)
    assert server_timing(waiting) == "queue;dur=250.0, connect;dur=250.0"
    assert server_timing(RequestRecord("r", "GET", "other", Family.UNKNOWN, 1.0)) == "queue;dur=0.0"


def test_the_comment_has_every_figure() -> None:
    """On one line, in plain decimals."""
    assert trailing_comment(answered(), counted(), 0.00000123) == (
        b": sluice-figures ttft_seconds=1.5 input_tokens=7 output_tokens=4 "
        b"tokens_per_second=2 source=usage queue_seconds=0.25 cost_usd=0.00000123\n"
    )


def test_the_comment_says_when_tokens_were_counted() -> None:
    """Instead of stated."""
    assert trailing_comment(answered(), counted(usage=None)) == (
        b": sluice-figures ttft_seconds=1.5 output_tokens=4 tokens_per_second=2 source=counted "
        b"queue_seconds=0.25\n"
    )


@pytest.mark.parametrize("tally", [Tally(), counted(tokens=1, usage=None)])
def test_the_comment_leaves_out_what_is_not_known(tally: Tally) -> None:
    """An answer without tokens has no rate."""
    assert b"tokens_per_second" not in trailing_comment(answered(), tally)


def test_the_comment_dispatches_nothing() -> None:
    """After the last event it is neither an event nor the beginning of one."""
    tally = Tally()
    tally.count(TEXT, 101.0)
    framer = Framer()
    assert len(framer.feed(b"data: [DONE]\n\n" + trailing_comment(answered(), tally))) == 1
    last = framer.unfinished()
    assert last is None or last.data is None
    assert framer.between_events
