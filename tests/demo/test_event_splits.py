from __future__ import annotations

import pytest

from proxy.demo.event_splits import (
    after_leading_byte,
    cutter_for,
    in_halves,
    in_runs,
    inside_characters,
)
from proxy.demo.grammar_values import Value
from proxy.demo.plan import Plan

TEXT = "data: Grüezi 🌊!\n\n".encode()


@pytest.mark.parametrize(
    ("faults", "longest"),
    [({"drip": 1}, 1), ({"drip": 5}, 5), ({"split": True}, 11), ({"split-utf8": True}, 100)],
)
def test_no_byte_is_lost(faults: dict[str, Value], longest: int) -> None:
    """Whatever the cut, the pieces make the whole, and there are several."""
    cut = cutter_for(Plan(faults=faults))
    assert cut is not None
    pieces = cut(TEXT)
    assert b"".join(pieces) == TEXT
    assert len(pieces) > 1
    assert max(map(len, pieces)) <= longest


def test_a_healthy_plan_cuts_nothing() -> None:
    """There is no cutter at all."""
    assert cutter_for(Plan()) is None


def test_cuts_fall_inside_characters() -> None:
    """Every piece but the last ends with the first byte of a character."""
    pieces = inside_characters(TEXT)
    assert [piece[-1:] for piece in pieces[:-1]] == ["ü".encode()[:1], "🌊".encode()[:1]]
    assert inside_characters(b"plain") == [b"plain"]


def test_the_place_inside_a_character() -> None:
    """It is found behind the first leading byte, and not at all in ASCII."""
    assert after_leading_byte("aü".encode()) == 2
    assert after_leading_byte(b"plain") is None


def test_runs_and_halves() -> None:
    """The last run is what is left; the first half is the shorter one."""
    assert in_runs(b"abcde", 2) == [b"ab", b"cd", b"e"]
    assert in_halves(b"abcde") == [b"ab", b"cde"]
