from __future__ import annotations

import pytest

from proxy.demo import error_bodies


@pytest.mark.parametrize(
    ("status", "kind", "code"),
    [
        (400, "invalid_request_error", None),
        (401, "invalid_request_error", "invalid_api_key"),
        (429, "requests", "rate_limit_exceeded"),
        (500, "server_error", None),
        (529, "server_error", "server_is_overloaded"),
    ],
)
def test_openai(status: int, kind: str, code: str | None) -> None:
    """Type and code follow the status."""
    error = error_bodies.openai(status, "no", "n")["error"]
    assert error == {"message": "no", "type": kind, "param": "n", "code": code}


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"),
        (418, "invalid_request_error"),
        (429, "rate_limit_error"),
        (500, "api_error"),
        (529, "overloaded_error"),
    ],
)
def test_anthropic(status: int, kind: str) -> None:
    """The type follows the status, the request id stands beside the error."""
    body = error_bodies.anthropic(status, "no", "req_1")
    assert body["error"] == {"type": kind, "message": "no"}
    assert (body["type"], body["request_id"]) == ("error", "req_1")


@pytest.mark.parametrize(
    ("status", "state"), [(429, "RESOURCE_EXHAUSTED"), (503, "UNAVAILABLE"), (418, "UNKNOWN")]
)
def test_gemini(status: int, state: str) -> None:
    """The code is repeated in the body beside its name."""
    assert error_bodies.gemini(status, "no")["error"] == {
        "code": status,
        "message": "no",
        "status": state,
    }


def test_a_message_for_every_status() -> None:
    """Even a status without words of its own says what happened."""
    assert "418" in error_bodies.message_for(418)
    assert error_bodies.message_for(529) == "Overloaded"
