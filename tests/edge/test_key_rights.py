"""What a key may do."""

from __future__ import annotations

import pytest

from proxy.edge.key_rights import may_use, refusal
from proxy.key_settings import KeyDefaults

KEY = KeyDefaults(models=("gpt-*", "claude"), routes=("/v1/chat/*", "/v1/models"))


@pytest.mark.parametrize(
    ("path", "model"),
    [
        ("/v1/chat/completions", "gpt-5"),
        ("/v1/chat/completions", "claude"),
        ("/v1/models", None),
    ],
)
def test_what_is_allowed(path: str, model: str | None) -> None:
    """Any glob that fits is enough; no model is a matter of routes."""
    assert refusal(KEY, path, model) is None


@pytest.mark.parametrize(
    ("path", "model", "message"),
    [
        ("/v1/files", None, "it may call /v1/chat/*, /v1/models."),
        ("/v1/chat/completions", "claude-2", "it may use gpt-*, claude."),
        ("/v1/chat/completions", "GPT-5", "it may use gpt-*, claude."),
        ("/v1/files", "gpt-5", "it may call"),
    ],
)
def test_what_is_not(path: str, model: str | None, message: str) -> None:
    """It is said what would be allowed."""
    reason = refusal(KEY, path, model)
    assert reason is not None
    assert message in reason


def test_a_key_without_rights_of_its_own_may_do_all() -> None:
    """The defaults allow everything."""
    assert refusal(KeyDefaults(), "/v1/anything", "any") is None


def test_the_models_that_it_is_shown() -> None:
    """The same rule as for using them."""
    assert [model for model in ("gpt-5", "o9") if may_use(KEY, model)] == ["gpt-5"]
