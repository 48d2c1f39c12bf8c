from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from proxy.demo.faults import FAULTS
from proxy.demo.grammar import (
    PRESETS,
    BadWordError,
    planned,
    split_model,
    words_in,
    words_of,
)
from proxy.demo.grammar_settings import SETTINGS
from proxy.demo.plan import Plan


def test_model_with_words() -> None:
    """The name ends at the first semicolon."""
    assert split_model("demo;ttft=0.2;cut=5") == ("demo", "ttft=0.2;cut=5")
    assert split_model("gpt-4o") == ("gpt-4o", "")


@pytest.mark.parametrize(
    "text", ["rate=50;cut;line=1MiB", "rate=50, cut, line=1MiB", " Rate = 50 ;; cut;line = 1MiB;"]
)
def test_words_in_their_spellings(text: str) -> None:
    """Semicolons and commas separate alike, spaces and capitals do not matter."""
    assert words_in(text) == [("rate", "50"), ("cut", None), ("line", "1MiB")]


def test_words_in_a_field() -> None:
    """The request field is text or an object; true means the word's default, false nothing."""
    given = {"rate": 50, "cut": True, "crlf": False, "bom": None}
    assert words_of(given) == [("rate", "50"), ("cut", None)]
    assert words_of("rate=50") == [("rate", "50")]
    assert words_of(None) == []


@pytest.mark.parametrize("field", [7, ["cut"], True])
def test_a_field_of_another_type(field: Any) -> None:
    """A field that is neither text nor object is refused."""
    with pytest.raises(BadWordError, match="must be text"):
        words_of(field)


def test_settings_and_faults_become_a_plan() -> None:
    """Settings set their field, faults stand under their name with their argument."""
    plan = planned(Plan(), words_in("ttft=200ms;tokens=9;cut;line=2KiB;header=X-A:b;header=X-C:d"))
    assert (plan.ttft, plan.tokens) == (0.2, 9)
    assert plan.faults == {"cut": FAULTS["cut"].default, "line": 2048}
    assert plan.headers == ("X-A:b", "X-C:d")


def test_the_last_word_wins() -> None:
    """A word said again replaces the first, and false takes a fault away."""
    plan = planned(Plan(), words_in("rate=1;rate=2;cut=1;cut=2;crlf;crlf=false"))
    assert plan.rate == 2
    assert plan.faults == {"cut": 2}


def test_an_unknown_word() -> None:
    """The refusal names the nearest word and lists all."""
    with pytest.raises(BadWordError) as refused:
        planned(Plan(), words_in("crfl"))
    message = str(refused.value)
    assert "Did you mean 'crlf'?" in message
    assert all(word in message for word in (*SETTINGS, *FAULTS))


def test_a_value_that_does_not_fit() -> None:
    """The refusal names word and value and says what would be right."""
    with pytest.raises(BadWordError, match=r"'rate=fast': rate takes a number"):
        planned(Plan(), words_in("rate=fast"))


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_in_the_grammar(preset: str) -> None:
    """Every preset can be planned, and its name needs no escaping in a path."""
    plan = planned(Plan(), words_in(PRESETS[preset]))
    assert not plan.faults
    assert quote(preset) == preset


def test_a_model_survives_a_path() -> None:
    """Nothing in a model with words has a meaning of its own in a URL path."""
    model = "demo;ttft=0.2;rate=50;cut-inside=5"
    assert quote(model, safe=";=,") == model
