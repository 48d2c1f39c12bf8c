from __future__ import annotations

import pytest

from proxy.meter.labels import (
    AnsweringNames,
    ModelNames,
    error_type,
    operation_of,
    provider_of,
    was_answered,
)
from proxy.meter.shared_name_set import SharedNameSet
from proxy.record import EndedBy, Family
from tests.meter.requests_made import answered


def test_invented_names_are_one_label() -> None:
    """A name that no upstream has answered takes no place."""
    names = ModelNames(SharedNameSet(2))
    assert {names.label(f"invented-{n}", answered=False) for n in range(1000)} == {"other"}
    assert names.label("real", answered=True) == "real"
    assert names.label("real", answered=False) == "real"


def test_names_beyond_the_cap_are_one_label() -> None:
    """Though an upstream may answer to any."""
    names = ModelNames(SharedNameSet(2))
    labels = [names.label(f"m-{n}", answered=True) for n in range(4)]
    assert labels == ["m-0", "m-1", "other", "other"]
    assert names.label("x" * 500, answered=True) == "other"


def test_known_names_need_no_answer_and_no_name_stays_none() -> None:
    """What another worker counted is known here, too."""
    known = SharedNameSet(1)
    known.admit("m-0")
    names = ModelNames(known)
    assert names.label("m-0", answered=False) == "m-0"
    assert names.label("m-1", answered=True) == "other"
    assert names.label("", answered=True) == ""


def test_an_upstream_that_answers_under_many_names_fills_no_square() -> None:
    """Each pair of asked and answering model takes a place."""
    names = AnsweringNames(SharedNameSet(3))
    pairs = [(asked, name) for asked in ("a", "b") for name in ("x", "y", "z")]
    labels = [names.label(asked, name, answered=True) for asked, name in pairs]
    assert labels == ["x", "y", "z", "other", "other", "other"]
    assert names.label("a", "y", answered=False) == "y"
    assert names.label("a", "", answered=True) == ""


def test_what_answers_for_others_is_others() -> None:
    """It takes no place that a model with a name of its own could have."""
    names = AnsweringNames(SharedNameSet(1))
    assert names.label("other", "x", answered=True) == "other"
    assert names.label("a", "x", answered=False) == "other"
    assert names.label("a", "x", answered=True) == "x"


@pytest.mark.parametrize("name", ["x" * 101, "\ud800", "a\nb", "\0"])
def test_names_that_no_exposition_should_hold_are_one_label(name: str) -> None:
    """Too long, half a character, or with a line end."""
    assert ModelNames(SharedNameSet(100)).label(name, answered=True) == "other"


@pytest.mark.parametrize(
    ("family", "route", "operation", "provider"),
    [
        (Family.CHAT, "/v1/chat/completions", "chat", "openai"),
        (Family.MESSAGES, "/v1/messages", "chat", "anthropic"),
        (Family.RESPONSES, "/v1/responses", "chat", "openai"),
        (Family.COMPLETIONS, "/v1/completions", "text_completion", "openai"),
        (Family.GEMINI, "/v1beta/models", "generate_content", "gcp.gemini"),
        (Family.UNKNOWN, "/v1/embeddings", "embeddings", "other"),
        (Family.UNKNOWN, "other", "other", "other"),
    ],
)
def test_operation_and_provider(family: Family, route: str, operation: str, provider: str) -> None:
    """In the words of the semantic conventions."""
    assert (operation_of(family, route), provider_of(family)) == (operation, provider)


def test_why_a_request_failed_is_one_word() -> None:
    """Its own code before its outcome before its status; a success has none."""
    assert error_type(answered()) == ""
    assert (
        error_type(answered(error="idle_timeout", ended_by=EndedBy.IDLE_TIMEOUT)) == "idle_timeout"
    )
    assert error_type(answered(ended_by=EndedBy.CLIENT_LEFT)) == "client_left"
    assert error_type(answered(status=404)) == "404"


@pytest.mark.parametrize(("status", "yes"), [(200, True), (299, True), (404, False), (None, False)])
def test_only_a_2xx_is_an_answer(status: int | None, yes: bool) -> None:
    """A 404 shows that a model does not exist."""
    assert was_answered(answered(upstream_status=status)) is yes
