"""What the first bytes of a stream are judged to be."""

from __future__ import annotations

import pytest

from proxy.edge.first_event import hidden_error, is_decidable
from proxy.record import Family

OVERLOADED = (
    b'event: error\ndata: {"type":"error","error":{"type":"overloaded_error","message":"x"}}\n\n'
)
OTHER_ERROR = b'event: error\ndata: {"type":"error","error":{"type":"api_error"}}\n\n'
START = b'event: message_start\ndata: {"type":"message_start","message":{"id":"m"}}\n\n'


@pytest.mark.parametrize(
    ("first", "enough"),
    [
        (START, True),
        (START[:-1], False),
        (b"data: ", False),
        (b": ping\n", True),
        (b": ping\n\n", True),
        (b"", True),
    ],
)
def test_whether_it_is_enough_to_judge_by(first: bytes, enough: bool) -> None:
    """A whole event, or a comment that commits to nothing; half an event is waited for."""
    assert is_decidable(first) is enough


@pytest.mark.parametrize(
    ("first", "failed"),
    [
        (OVERLOADED, True),
        (b": ping\n\n" + OVERLOADED, True),
        (OTHER_ERROR, False),
        (START + OVERLOADED, False),
        (START, False),
        (b": ping\n\n", False),
    ],
)
def test_an_overload_behind_a_200(first: bytes, failed: bool) -> None:
    """Only an overload as the first event is a failure worth another attempt."""
    assert (hidden_error(Family.MESSAGES, first) is not None) is failed
