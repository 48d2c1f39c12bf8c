"""Client keys: where they stand, whose they are, and that they are never kept."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict, MultiDict
from pydantic import SecretStr

from proxy.edge.auth import Keys, presented
from proxy.errors import NotAuthorized

KEYS = Keys({"web": SecretStr("sk-web"), "batch": SecretStr("sk-batch")})


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer sk-web"}, {}),
        ({"authorization": "bearer sk-web"}, {}),
        ({"X-Api-Key": "sk-web"}, {}),
        ({"x-goog-api-key": "sk-web"}, {}),
        ({"api-key": "sk-web"}, {}),
        ({}, {"key": "sk-web"}),
    ],
)
def test_a_known_key(headers: dict[str, str], query: dict[str, str]) -> None:
    """Wherever an SDK puts it, it gives its configured name."""
    assert KEYS.name_of(CIMultiDict(headers), MultiDict(query)) == "web"


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer sk-wrong"}, {"Authorization": "Basic c2s="}]
)
def test_no_key_or_a_wrong_one(headers: dict[str, str]) -> None:
    """Refused, without a word of what was sent."""
    with pytest.raises(NotAuthorized) as refused:
        KEYS.name_of(CIMultiDict(headers), MultiDict())
    assert "sk-" not in str(refused.value)


def test_no_keys_configured() -> None:
    """Anybody is let in, under no name."""
    assert Keys({}).name_of(CIMultiDict({"Authorization": "Bearer any"}), MultiDict()) == ""


def test_keys_are_held_as_digests() -> None:
    """The object that lives as long as the worker holds no key."""
    assert "sk-web" not in repr(vars(KEYS))


def test_the_bearer_goes_first() -> None:
    """Where a request carries several, one rule decides."""
    headers = CIMultiDict({"Authorization": "Bearer a", "x-api-key": "b"})
    assert presented(headers, MultiDict()) == "a"
