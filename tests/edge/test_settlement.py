"""What a request is charged for, by how it ended."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.edge.settlement import Charge, charge
from proxy.edge.token_estimates import Expected
from proxy.meter.tally import Tally, Usage
from proxy.record import EndedBy, Family, RequestRecord

EXPECTED = Expected(10, 100)
WHOLE = Usage(input=7, output=20)


def settled(
    ended_by: EndedBy, counted: int = 0, usage: Usage | None = None, **known: Any
) -> Charge:
    record = RequestRecord("id", "POST", "/v1/chat/completions", Family.CHAT, 0.0)
    record.ended_by, record.connected_at, record.upstream_status = ended_by, 1.0, 200
    finishing = known.pop("finishing", False)
    for name, value in known.items():
        setattr(record, name, value)
    return charge(record, Tally(counted=counted, usage=usage, finishing=finishing), EXPECTED)


def charged(
    ended_by: EndedBy, counted: int = 0, usage: Usage | None = None, **known: Any
) -> tuple[int, int, int]:
    """Requests, input and output tokens."""
    actual = settled(ended_by, counted, usage, **known)
    return actual.requests, actual.usage.input_total or 0, actual.usage.output_total or 0


LEFT = {"client_left_at": 2.0}
CUT = [
    EndedBy.UPSTREAM_CUT,
    EndedBy.ERROR_EVENT,
    EndedBy.FIRST_TOKEN_TIMEOUT,
    EndedBy.IDLE_TIMEOUT,
    EndedBy.TOTAL_TIMEOUT,
    EndedBy.SLOW_CLIENT,
    EndedBy.DRAINED,
    EndedBy.FAILED,
]


@pytest.mark.parametrize("ended_by", list(EndedBy))
def test_an_upstream_that_was_never_reached(ended_by: EndedBy) -> None:
    """However it ended, it costs nothing."""
    assert charged(ended_by, connected_at=None, upstream_status=None) == (0, 0, 0)


@pytest.mark.parametrize(
    ("counted", "usage", "known", "expected"),
    [
        (20, WHOLE, {}, (1, 7, 20)),
        (20, None, {}, (1, 10, 100)),
        (130, None, {}, (1, 10, 130)),
        (20, Usage(input=7), {}, (1, 7, 100)),
        (0, None, {"upstream_status": 400}, (1, 0, 0)),
        (0, WHOLE, {"upstream_status": 500}, (1, 7, 20)),
        (0, None, {"family": Family.UNKNOWN}, (1, 0, 0)),
    ],
)
def test_an_answer_that_came_to_its_end(
    counted: int, usage: Usage | None, known: Any, expected: Any
) -> None:
    """By usage; by the larger of counted and estimated where that is missing or partial."""
    assert charged(EndedBy.COMPLETE, counted, usage, **known) == expected


@pytest.mark.parametrize("ended_by", CUT)
@pytest.mark.parametrize(
    ("counted", "usage", "finishing", "expected"),
    [
        (5, None, False, (1, 10, 100)),
        (150, Usage(input=7, output=1), False, (1, 7, 150)),
        (20, WHOLE, True, (1, 7, 20)),
        (20, WHOLE, False, (1, 7, 100)),
        (130, WHOLE, True, (1, 7, 130)),
    ],
)
def test_an_answer_that_broke(
    ended_by: EndedBy, counted: int, usage: Usage | None, finishing: Any, expected: Any
) -> None:
    """By the larger of the two, unless the upstream had said its last word on it."""
    assert charged(ended_by, counted, usage, finishing=finishing) == expected


def test_a_client_that_left() -> None:
    """By what came; with a policy that reads on, by what was stated in the end."""
    assert charged(EndedBy.CLIENT_LEFT, 5, None, **LEFT) == (1, 10, 5)
    assert charged(EndedBy.CLIENT_LEFT, 0, None, **LEFT) == (1, 10, 0)
    assert charged(EndedBy.CLIENT_LEFT, 20, WHOLE, finishing=True, **LEFT) == (1, 7, 20)


def test_an_error_in_place_of_the_answer() -> None:
    """Nothing was made: it costs the request alone."""
    assert charged(EndedBy.ERROR_EVENT) == (1, 0, 0)


def test_a_second_upstream_that_could_not_be_reached() -> None:
    """The first had got the request, and refused it."""
    known: Any = {"connected_at": None, "sent_before": True, "upstream_status": None}
    assert charged(EndedBy.UPSTREAM_CUT, **known) == (1, 0, 0)


def test_input_and_output_are_charged_together() -> None:
    """`tokens_per_minute` counts both; a part that is not known counts as none."""
    assert settled(EndedBy.COMPLETE, 20, WHOLE).tokens == 27
    assert settled(EndedBy.COMPLETE, 20, Usage(output=20), family=Family.UNKNOWN).tokens == 20
    assert settled(EndedBy.COMPLETE, 0, Usage(input=7), upstream_status=400).tokens == 7


@pytest.mark.parametrize(
    ("ended_by", "usage", "known", "stated"),
    [
        (EndedBy.COMPLETE, WHOLE, {}, True),
        (EndedBy.CLIENT_LEFT, WHOLE, {"finishing": True, **LEFT}, True),
        (EndedBy.CLIENT_LEFT, WHOLE, LEFT, False),
        (EndedBy.COMPLETE, Usage(input=7), {}, False),
        (EndedBy.COMPLETE, None, {}, False),
        (EndedBy.COMPLETE, WHOLE, {"upstream_status": 500}, False),
    ],
)
def test_what_estimates_learn_from(
    ended_by: EndedBy, usage: Usage | None, known: Any, stated: Any
) -> None:
    """Only from a whole answer's own usage: a part of one would teach that answers are short."""
    assert settled(ended_by, 20, usage, **known).stated is stated
