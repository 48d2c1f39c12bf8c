"""Client keys: where they stand, whose they are, and that they are never kept."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from multidict import CIMultiDict, MultiDict
from pydantic import SecretStr

from proxy.edge.auth import Keys, presented
from proxy.errors import BadRequest, NotAuthorized
from proxy.key_settings import KeySettings

NOW = datetime(2027, 1, 1, tzinfo=UTC)
KEYS = Keys(
    [
        KeySettings(name="web", key=SecretStr("sk-web")),
        KeySettings(name="batch", key=SecretStr("sk-batch"), expires=NOW + timedelta(seconds=1)),
        KeySettings(name="old", key=SecretStr("sk-old"), expires=NOW),
    ],
    lambda: NOW,
)


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
    key = KEYS.key_of(CIMultiDict(headers), MultiDict(query))
    assert key is not None
    assert key.name == "web"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer sk-wrong"},
        {"Authorization": "Basic c2s="},
        {"Authorization": "Bearer sk-old"},
    ],
)
def test_no_key_or_a_wrong_one_or_an_expired_one(headers: dict[str, str]) -> None:
    """Refused in the same words, without a word of what was sent."""
    with pytest.raises(NotAuthorized) as refused:
        KEYS.key_of(CIMultiDict(headers), MultiDict())
    assert str(refused.value) == "The request's API key is missing, unknown or expired."


def test_until_the_moment_it_expires() -> None:
    """A key is good up to that moment, and gives what is configured for it."""
    key = KEYS.key_of(CIMultiDict({"x-api-key": "sk-batch"}), MultiDict())
    assert key is not None
    assert key.name == "batch"


def test_no_keys_configured() -> None:
    """Anybody is let in, under no name."""
    assert Keys([]).key_of(CIMultiDict({"Authorization": "Bearer any"}), MultiDict()) is None


def test_keys_are_held_as_digests() -> None:
    """The object that lives as long as the worker holds no key."""
    assert "sk-web" not in repr(vars(KEYS))
    kept = KEYS.key_of(CIMultiDict({"api-key": "sk-web"}), MultiDict())
    assert kept is not None
    assert kept.key is None


@pytest.mark.parametrize(
    ("headers", "query"),
    [
        ({"Authorization": "Bearer a", "x-api-key": "b"}, {}),
        ({"x-api-key": "a", "api-key": "b"}, {}),
        ({"x-goog-api-key": "a"}, {"key": "b"}),
    ],
)
def test_two_keys_that_differ(headers: dict[str, str], query: dict[str, str]) -> None:
    """Which one counts would be a guess: the request is refused, without a word of either."""
    with pytest.raises(BadRequest) as refused:
        presented(CIMultiDict(headers), MultiDict(query))
    assert str(refused.value) == "The request carries two API keys that differ."


def test_the_same_key_twice() -> None:
    """Some clients put theirs in two fields; that is one key."""
    headers = CIMultiDict({"Authorization": "Bearer a", "x-api-key": "a"})
    assert presented(headers, MultiDict()) == "a"
