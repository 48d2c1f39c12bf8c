from __future__ import annotations

from typing import Any

import pytest

from proxy.demo.answer_text import FILL, STAMP
from proxy.demo.generation_request import (
    GenerationRequest,
    InvalidRequestError,
    birth,
    needed,
    number_in,
    prompt_size,
)
from proxy.demo.plan import Plan
from proxy.demo.tool_calls import calls_for


def ask(plan: Plan, **more: Any) -> GenerationRequest:
    """Ask for a stream with ten prompt tokens."""
    return GenerationRequest(plan=plan, model="demo", stream=True, prompt_tokens=10, **more)


@pytest.mark.parametrize(
    ("cap", "visible", "capped"), [(None, 8, False), (8, 8, False), (5, 5, True), (100, 8, False)]
)
def test_a_cap_ends_the_answer(cap: int | None, visible: int, capped: bool) -> None:
    """The request's own maximum cuts the text short, and it is known that it did."""
    request = ask(Plan(tokens=8), cap=cap)
    assert (request.visible, request.capped) == (visible, capped)


def test_reasoning_counts_against_the_cap() -> None:
    """Reasoning tokens come first, text takes what is left, and both are output."""
    request = ask(Plan(tokens=8, reasoning=4), cap=6)
    assert (request.visible, request.output_tokens) == (2, 6)


def test_output_is_what_is_sent() -> None:
    """Usage counts the deltas of all choices."""
    request = ask(Plan(tokens=8), choices=3)
    assert request.output_tokens == sum(len(list(request.deltas(choice))) for choice in range(3))


def test_calls_stand_instead_of_text() -> None:
    """With tool calls there is no text, and their pieces are the output."""
    request = ask(Plan(tokens=8), calls=calls_for([], 2))
    assert request.visible == 0
    assert not request.capped
    assert request.output_tokens == sum(len(call.pieces) for call in request.calls)


def test_several_tokens_in_one_delta() -> None:
    """Grouping changes the number of deltas, not the text."""
    single, grouped = ask(Plan(tokens=8)), ask(Plan(tokens=8, per_event=3))
    assert len(list(grouped.deltas())) == 3
    assert b"".join(grouped.deltas()) == b"".join(single.deltas())


def test_the_second_token_is_the_long_one() -> None:
    """With the fault `line` a placeholder stands for the second token."""
    deltas = list(ask(Plan(tokens=4, faults={"line": 100})).deltas())
    assert [token == FILL for token in deltas] == [False, True, False, False]


def test_stamped_tokens() -> None:
    """Each token is a placeholder for the time, followed by a space."""
    assert list(ask(Plan(tokens=2, stamp=True)).deltas()) == [STAMP + b" "] * 2


def test_choices_differ() -> None:
    """Several choices of one answer do not say the same."""
    request = ask(Plan(tokens=8), choices=2)
    assert request.text(0) != request.text(1)


def test_ids_follow_the_seed() -> None:
    """The same seed and purpose give the same id; another purpose or seed another."""
    request = ask(Plan(), seed="a")
    assert request.ident("x-") == ask(Plan(), seed="a").ident("x-")
    assert (
        len({request.ident("x-"), request.ident("x-", "1"), ask(Plan(), seed="b").ident("x-")}) == 3
    )
    assert birth(Plan(seed="a")) == birth(Plan(seed="a"))
    assert birth(Plan())[0] != birth(Plan())[0]


def test_prompt_tokens() -> None:
    """The estimate follows the text wherever it stands; the plan's own number wins."""
    messages = [{"role": "user", "content": [{"type": "text", "text": "x" * 400}]}]
    assert 100 <= prompt_size(Plan(), messages) <= 110
    assert prompt_size(Plan(), "") == 1
    assert prompt_size(Plan(prompt=7), messages) == 7


def test_cached_tokens_are_part_of_the_prompt() -> None:
    """No more can be cached than there is."""
    assert ask(Plan(cached=3)).cached_tokens == 3
    assert ask(Plan(cached=99)).cached_tokens == 10


def test_numbers_in_a_body() -> None:
    """The first field that is there counts; anything but a positive number is a mistake."""
    assert number_in({"b": 2, "a": None}, "a", "b") == 2
    assert number_in({}, "a") is None
    for wrong in (0, -1, "5", 1.5, True):
        with pytest.raises(InvalidRequestError) as refused:
            number_in({"a": wrong}, "a")
        assert refused.value.param == "a"


def test_a_field_that_must_be_there() -> None:
    """Its absence is a mistake that names it."""
    assert needed({"a": []}, "a") == []
    with pytest.raises(InvalidRequestError, match="'a'"):
        needed({}, "a")
