from __future__ import annotations

import pytest

from proxy.demo.families.family import ANTHROPIC, GEMINI, OPENAI, Dialect


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC, GEMINI])
def test_dialects(dialect: Dialect) -> None:
    """Each has an error body with a message, and headers that are text."""
    assert dialect.refusal(429, "no", None, "req_1")["error"]["message"] == "no"
    for name, value in (*dialect.headers("req_1"), *dialect.limits(False), *dialect.limits(True)):
        assert name.isascii()
        assert value.isascii()


@pytest.mark.parametrize(("dialect", "name"), [(OPENAI, "x-request-id"), (ANTHROPIC, "request-id")])
def test_the_request_id_has_its_header(dialect: Dialect, name: str) -> None:
    """OpenAI and Anthropic name theirs differently."""
    assert (name, "req_1") in dialect.headers("req_1")


@pytest.mark.parametrize("dialect", [OPENAI, ANTHROPIC])
def test_limits_are_spent(dialect: Dialect) -> None:
    """What remains is nothing once they are."""
    for spent in (True, False):
        remains = {value for name, value in dialect.limits(spent) if "remaining" in name}
        assert (remains == {"0"}) is spent
