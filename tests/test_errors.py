from __future__ import annotations

import json

import pytest

from proxy import errors
from proxy.errors import SluiceError, body_of, document_of, headers_of
from proxy.record import Family


def _all_kinds(kind: type[SluiceError] = SluiceError) -> list[type[SluiceError]]:
    kinds = [] if kind is SluiceError else [kind]
    return kinds + [deeper for below in kind.__subclasses__() for deeper in _all_kinds(below)]


KINDS = [kind for kind in _all_kinds() if kind.__module__ == errors.__name__]


@pytest.mark.parametrize("kind", KINDS)
def test_every_error_knows_its_verdict(kind: type[SluiceError]) -> None:
    """A status that is an error, a code for programs, and a next step for people."""
    fault = kind.fault
    assert 400 <= fault.status <= 599
    assert fault.code.replace("_", "").isalnum()
    assert fault.advice.endswith(".")
    assert kind.__doc__


def test_codes_tell_errors_apart() -> None:
    """No two kinds share a code, but for those that leave their verdict to their parent."""
    codes = [kind.fault.code for kind in KINDS if "fault" in vars(kind)]
    assert len(codes) == len(set(codes))


@pytest.mark.parametrize("kind", KINDS)
def test_a_client_s_fault_is_never_the_upstream_s(kind: type[SluiceError]) -> None:
    """What the client has to mend counts against no upstream, and is not tried again."""
    if kind.fault.status < 500:
        assert not kind.fault.blames_upstream
        assert not kind.fault.retry_safe


@pytest.mark.parametrize(
    "family", [family for family in Family if family not in {Family.MESSAGES, Family.GEMINI}]
)
def test_most_families_get_openai_s_shape(family: Family) -> None:
    """Message, type, code and request id, and what to do next."""
    document = json.loads(body_of(errors.ConnectFailed("It is down."), family, "r-1"))
    error = document["error"]
    assert error["type"] == "server_error"
    assert error["code"] == "upstream_unreachable"
    assert error["request_id"] == "r-1"
    assert error["message"].startswith("It is down. Try again")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (errors.BadRequest, "invalid_request_error"),
        (errors.NotAuthorized, "authentication_error"),
        (errors.NotFound, "not_found_error"),
        (errors.BodyTooLarge, "request_too_large"),
        (errors.Overloaded, "overloaded_error"),
        (errors.IdleTimeout, "timeout_error"),
        (errors.ConnectFailed, "api_error"),
    ],
)
def test_messages_get_anthropic_s_shape(kind: type[SluiceError], name: str) -> None:
    """The type is one of those that Anthropic's SDK knows."""
    document = document_of(kind("No."), Family.MESSAGES, "r-1")
    assert document["type"] == "error"
    assert document["request_id"] == "r-1"
    assert isinstance(document["error"], dict)
    assert document["error"]["type"] == name


@pytest.mark.parametrize(
    ("error", "header"),
    [
        (errors.Overloaded("Full."), "1"),
        (errors.Overloaded("Full.", retry_after=0.2), "1"),
        (errors.Overloaded("Full.", retry_after=7.1), "8"),
        (errors.BadRequest("No."), None),
        (errors.ConnectFailed("Down.", retry_after=3), "3"),
    ],
)
def test_retry_after_is_whole_seconds_and_never_too_early(
    error: SluiceError, header: str | None
) -> None:
    """Rounded up, at least one, and always there on a 503."""
    assert headers_of(error).get("Retry-After") == header


@pytest.mark.parametrize(
    ("kind", "code", "status"),
    [
        (errors.BadRequest, 400, "INVALID_ARGUMENT"),
        (errors.NotAuthorized, 401, "UNAUTHENTICATED"),
        (errors.Overloaded, 503, "UNAVAILABLE"),
        (errors.IdleTimeout, 504, "DEADLINE_EXCEEDED"),
        (errors.ConnectFailed, 502, "INTERNAL"),
    ],
)
def test_gemini_gets_google_s_shape(kind: type[SluiceError], code: int, status: str) -> None:
    """A number and a word of google.rpc, by which its SDKs tell errors; the message has the id."""
    error = document_of(kind("No."), Family.GEMINI, "r-1")["error"]
    assert isinstance(error, dict)
    assert (error["code"], error["status"]) == (code, status)
    assert "r-1" in error["message"]
    assert error["details"][0]["reason"] == kind.fault.code.upper()
