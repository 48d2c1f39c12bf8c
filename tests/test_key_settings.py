"""Client keys as data."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from proxy.key_settings import KeyDefaults, KeySettings, all_keys, digest_of

SHA256 = hashlib.sha256(b"sk-web").hexdigest()


def key(**more: Any) -> KeySettings:
    return KeySettings.model_validate({"name": "web", "key": "sk-web", **more})


def test_everything_that_a_key_may_say() -> None:
    """Each field has its type, and a moment its offset."""
    full = key(
        models=["gpt-*"],
        routes=["/v1/chat/*"],
        requests_per_minute=60,
        tokens_per_minute=10_000,
        max_streams=5,
        budget_usd=2.5,
        budget_period="day",
        expires="2027-01-01T00:00:00Z",
        priority=3,
        upstream="a",
    )
    assert full.expires == datetime(2027, 1, 1, tzinfo=UTC)
    assert full.limited


@pytest.mark.parametrize("form", [SHA256, SHA256.upper(), f"sha256:{SHA256}"])
def test_a_key_by_its_digest(form: str) -> None:
    """The hex of sha256sum, in either case, is as good as the key."""
    stored = KeySettings.model_validate({"name": "web", "sha256": form})
    assert stored.digest == key().digest == digest_of("sk-web")


@pytest.mark.parametrize(
    "wrong",
    [
        {"sha256": SHA256},
        {"key": None},
        {"key": ""},
        {"key": "two words"},
        {"key": "schlüssel"},
        {"key": None, "sha256": "abc"},
        {"name": ""},
        {"name": "a{b}"},
        {"requests_per_minute": 0},
        {"tokens_per_minute": -1},
        {"max_streams": 1.5},
        {"budget_usd": 0},
        {"budget_usd": "NaN"},
        {"budget_period": "week"},
        {"expires": "2027-01-01T00:00:00"},
        {"models": []},
        {"routes": [""]},
        {"kye": "sk-web"},
    ],
)
def test_what_is_wrong_with_a_key(wrong: dict[str, Any]) -> None:
    """Nothing is guessed, and a typing error is no key without limits."""
    with pytest.raises(ValidationError):
        key(**wrong)


def test_defaults_hold_for_what_a_key_does_not_say() -> None:
    """Each key overrides them, with "none" where there is nothing to put instead."""
    defaults = KeyDefaults(requests_per_minute=10, budget_usd=1, models=("a",))
    both = key(requests_per_minute="none", models=["b"]).over(defaults)
    assert (both.requests_per_minute, both.budget_usd, both.models) == (None, 1, ("b",))
    assert both.digest == key().digest


def test_the_short_form_is_a_key_without_limits() -> None:
    """Defaults are for `[[keys]]`; what the short form meant, it means."""
    defaults = KeyDefaults(requests_per_minute=10)
    keys = all_keys([key()], defaults, {"old": SecretStr("sk-old")})
    assert [(entry.name, entry.limited) for entry in keys] == [("web", True), ("old", False)]


@pytest.mark.parametrize(
    ("short", "message"),
    [({"web": "sk-other"}, "two keys are called 'web'"), ({"b": "sk-web"}, "are the same key")],
)
def test_two_keys_that_cannot_be_told_apart(short: dict[str, str], message: str) -> None:
    """A name and a secret each belong to one key; the complaint holds no secret."""
    secrets = {name: SecretStr(secret) for name, secret in short.items()}
    with pytest.raises(ValueError, match=message) as refused:
        all_keys([key()], KeyDefaults(), secrets)
    assert "sk-" not in str(refused.value)
