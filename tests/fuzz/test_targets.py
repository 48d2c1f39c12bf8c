"""What is fuzzed holds for the inputs that fuzzing begins with."""

from __future__ import annotations

import itertools

import pytest

from tests.fuzz.cuts import CUTS, given, made, pieces
from tests.fuzz.sse import MARK
from tests.fuzz.targets import NAMES, target


@pytest.mark.parametrize("name", NAMES)
def test_every_seed(name: str) -> None:
    """Each is checked with every choice and cut in every way, or in some where that is a lot."""
    fuzzed = target(name)
    for seed in fuzzed.seeds(turns=3 if len(fuzzed.choices) > len(CUTS) else len(CUTS)):
        fuzzed.check(seed)


@pytest.mark.parametrize("name", NAMES)
def test_seeds_that_are_cut_short(name: str) -> None:
    """A stream may stop at any byte."""
    fuzzed = target(name)
    for text, cut in itertools.product(fuzzed.texts, CUTS[:2]):
        for end in range(0, len(text), 7):
            fuzzed.check(made(text[:end], cut, fuzzed.choices[end % len(fuzzed.choices)]))


@pytest.mark.parametrize(
    "data", [b"", b"\x01", b"\x01\x02", b"\x01\xff\x00", made(b"a\n\nb", b"\0")]
)
def test_any_bytes_are_an_input(data: bytes) -> None:
    """However short, and none of the text is lost in the cutting."""
    choice, sizes, text = given(data)
    assert b"".join(pieces(text, sizes, MARK)) == text
    assert choice == (data[0] if data else 0)


def test_where_a_text_is_cut() -> None:
    """At the marks, or by sizes in turn."""
    text = b"data: a\n\ndata: b\n\nrest"
    assert pieces(text, b"\0", MARK) == [b"data: a\n\n", b"data: b\n\n", b"rest"]
    assert pieces(text, b"\x0b\0", MARK) == [text[:11], text[11:18], b"rest"]
    assert pieces(text, b"", MARK) == [text]
