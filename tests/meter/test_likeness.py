from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.meter.likeness import Likeness
from proxy.meter.tokens import REASONING, TEXT


def event(token: str, key: str = "content", tail: str = "") -> bytes:
    """One chat event as an upstream with short separators sends it."""
    said = json.dumps(token, ensure_ascii=False)
    return f'{{"id":"c","choices":[{{"index":0,"delta":{{"{key}":{said}}}}}]{tail}}}'.encode()


def taught(data: bytes, channel: int = TEXT) -> Likeness:
    """A likeness that has learned from one event."""
    likeness = Likeness()
    likeness.learn(data, channel, 1)
    return likeness


def test_nothing_fits_before_a_lesson() -> None:
    """Not even an empty event."""
    likeness = Likeness()
    assert not likeness.fits(event("a"))
    assert not likeness.fits(b"")


@pytest.mark.parametrize("token", ["b", " ", "é", "漢字", "a\\n", "{}", "longer than before"])
def test_another_token_in_the_same_place_fits(token: str) -> None:
    """Whatever it is, escapes included."""
    assert taught(event("a")).fits(event(token))


@pytest.mark.parametrize(
    "other",
    [
        event(""),
        event('"'),
        event('a","role":"x'),
        event("b", key="reasoning"),
        event("b", tail=',"usage":{}'),
        event("b")[:-1],
        event("b") + b" ",
        event("b")[1:],
        event("b").replace(b'"index":0', b'"index":1'),
        event("b").replace(b'"c"', b'"d"'),
        b"",
    ],
)
def test_anything_else_does_not(other: bytes) -> None:
    """An empty token, a quote, another member, another value, a cut: all are parsed."""
    assert not taught(event("a")).fits(other)


@pytest.mark.parametrize("name", ["obfuscation", "p"])
def test_the_padding_that_hides_lengths_may_differ(name: str) -> None:
    """And nothing but the padding."""
    likeness = taught(event("a", tail=f',"{name}":"x1Y"'))
    assert likeness.fits(event("b", tail=f',"{name}":"zzzzzz"'))
    assert likeness.fits(event("b", tail=f',"{name}":""'))
    assert not likeness.fits(event("b", tail=f',"{name}":"z","usage":{{}}'))
    assert not likeness.fits(event("b", tail=f',"usage":{{}},"{name}":"z"'))
    assert not likeness.fits(event("b"))


def test_a_new_lesson_replaces_the_old() -> None:
    """Reasoning gives way to text."""
    likeness = taught(event("a", key="reasoning_content"), REASONING)
    assert likeness.channel == REASONING
    likeness.learn(event("a"), TEXT, 50)
    assert (likeness.channel, likeness.fits(event("b"))) == (TEXT, True)
    assert not likeness.fits(event("b", key="reasoning_content"))


def test_a_token_that_teaches_nothing_leaves_the_lesson_before_it() -> None:
    """One with a quote in it has no plain string to go by."""
    likeness = taught(event("a"))
    likeness.learn(event('"'), TEXT, 2)
    assert likeness.fits(event("b"))


def test_a_stream_whose_events_are_never_alike_is_given_up() -> None:
    """Lessons cost; in vain they stop."""
    likeness = Likeness()
    lessons = 0
    while likeness.worth_learning:
        lessons += 1
        likeness.learn(event("a", tail=f',"created":{lessons}'), TEXT, lessons)
    assert lessons < 20
    assert not likeness.fits(event("a", tail=f',"created":{lessons}'))


def test_a_lesson_that_is_made_use_of_does_not_count_against_the_stream() -> None:
    """A stamp that changes once a second is learned anew each second."""
    likeness = Likeness()
    for second in range(100):
        likeness.learn(event("a", tail=f',"created":{second}'), TEXT, second * 50 + 1)
        assert likeness.fits(event("b", tail=f',"created":{second}'))


@given(st.text(min_size=1), st.text())
def test_what_fits_is_the_same_document_with_another_token(first: str, second: str) -> None:
    """For any two tokens, valid JSON that fits differs in its token alone, which is not empty."""
    likeness = taught(event(first))
    if likeness.fits(event(second)):
        document = json.loads(event(second))
        assert document["choices"][0]["delta"].pop("content")
        assert document == {"id": "c", "choices": [{"index": 0, "delta": {}}]}
