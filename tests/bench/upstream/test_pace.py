from __future__ import annotations

import pytest

from bench.upstream.pace import Pace, choose_pace, read_pace

DEFAULT = Pace(1, 1, 0)


@pytest.mark.parametrize(
    ("text", "pace"),
    [
        ("50-500-0.02", Pace(50, 500, 0.02)),
        ("paced-0.1-4-0", Pace(0.1, 4, 0)),
        ("gpt-4o-mini", None),
        ("50-500", None),
        ("0-5-1", None),
        ("5-0-1", None),
        ("5-5--1", None),
    ],
)
def test_a_name_that_may_be_a_pace(text: str, pace: Pace | None) -> None:
    """Only a whole and possible pace is taken for one."""
    assert read_pace(text) == pace


def test_a_pace_as_a_model_name() -> None:
    """What the load generator asks for is what the upstream understands."""
    pace = Pace(12.5, 30, 0.25)
    assert read_pace(pace.model) == pace


def test_several_places_say_a_pace() -> None:
    """The first of them that does is believed."""
    assert choose_pace(["", "1-2-3", "4-5-6"], DEFAULT) == Pace(1, 2, 3)


def test_no_place_says_a_pace() -> None:
    """The default holds, for gateways that rename the model."""
    assert choose_pace(["", "bench"], DEFAULT) is DEFAULT


def test_the_length_of_an_answer() -> None:
    """It ends with its last token, not an interval later."""
    assert Pace(10, 11, 0.5).seconds == pytest.approx(1.5)
