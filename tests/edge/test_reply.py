"""The errors that Sluice answers with, and the headers of its streams."""

from __future__ import annotations

import json

import pytest

from proxy.edge.reply import refusal, stream_headers
from proxy.errors import BadRequest, Overloaded, SluiceError
from proxy.exchange import Exchange, Family


def exchange(family: Family = Family.CHAT) -> Exchange:
    return Exchange("req-1", "POST", "/v1/x", family, started_at=0.0)


@pytest.mark.parametrize(
    ("error", "family", "kind"),
    [
        (BadRequest("No."), Family.CHAT, "invalid_request_error"),
        (BadRequest("No."), Family.MESSAGES, "invalid_request_error"),
        (Overloaded("Full."), Family.CHAT, "server_error"),
        (Overloaded("Full."), Family.MESSAGES, "overloaded_error"),
    ],
)
def test_an_error_in_the_familys_shape(error: SluiceError, family: Family, kind: str) -> None:
    """SDKs find the type where they look for it; people find the request and what to do."""
    answer = refusal(error, exchange(family))
    body = answer.body
    assert isinstance(body, bytes)
    document = json.loads(body)
    assert document["error"]["type"] == kind
    assert "req-1" in document["error"]["message"]
    assert answer.headers["X-Request-ID"] == "req-1"
    assert (document.get("type") == "error") is (family is Family.MESSAGES)


@pytest.mark.parametrize(("seconds", "header"), [(None, "1"), (0.2, "1"), (2.1, "3")])
def test_when_to_come_again(seconds: float | None, header: str) -> None:
    """`Retry-After` is in whole seconds, never 0."""
    answer = refusal(Overloaded("Full.", retry_after=seconds), exchange())
    assert answer.headers["Retry-After"] == header


def test_a_stream_begun_before_the_upstream_answered() -> None:
    """Its headers keep whatever stands in front from holding events back."""
    headers = stream_headers({}, "req-1")
    assert headers["Content-Type"].startswith("text/event-stream")
    assert headers["X-Accel-Buffering"] == "no"
    assert "no-transform" in headers["Cache-Control"]
