"""The errors Sluice makes itself: each knows its status, whose fault it is, and what to do next.

The JSON shapes are those of the OpenAI and Anthropic API references ("Errors"), so that an SDK
raises its own typed exception for them.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, replace
from typing import ClassVar

from proxy.google_error import google_error
from proxy.record import EndedBy, Family

_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of failure, as a row of the table below."""

    code: str
    status: int
    ended_by: EndedBy
    advice: str
    """What the caller can do next, in one sentence."""
    retry_safe: bool = False
    """Whether the upstream cannot have begun to answer, so that another attempt is harmless."""
    blames_upstream: bool = False
    kind: str = ""
    """OpenAI's `type` where the status alone does not tell it."""
    reason: str = ""
    """As logs and metrics call it, where that is not the code."""
    final: bool = False
    """Whether trying again within minutes is in vain; the SDKs are told so."""


class SluiceError(Exception):
    """A failure with its verdict: the fault, and what happened this time in one sentence."""

    fault: ClassVar[Fault]

    def __init__(self, happened: str, *, retry_after: float | None = None) -> None:
        super().__init__(happened)
        self.happened = happened
        self.retry_after = retry_after
        """Seconds the client should wait, for `Retry-After`; None says nothing."""


class BadRequest(SluiceError):
    """The request cannot be understood."""

    fault = Fault("invalid_request", 400, EndedBy.REJECTED, "Correct the request and resend it.")


class BodyTooLarge(SluiceError):
    """The body is over `SLUICE_MAX_BODY_BYTES`."""

    fault = Fault(
        "request_too_large",
        413,
        EndedBy.REJECTED,
        "Send a smaller body, or have the operator raise SLUICE_MAX_BODY_BYTES.",
    )


class NotAuthorized(SluiceError):
    """No client key, or an unknown one, where `SLUICE_CLIENT_KEYS` asks for one."""

    fault = Fault("invalid_api_key", 401, EndedBy.REJECTED, "Send a key that this gateway knows.")


class NotFound(SluiceError):
    """No such route, or no upstream serves the model."""

    fault = Fault("not_found", 404, EndedBy.REJECTED, "Check the path and the model's name.")


class Overloaded(SluiceError):
    """All slots are taken, and the waiting line is full or too slow."""

    fault = Fault("overloaded", 503, EndedBy.SHED, "Try again after the time in Retry-After.")


class ConnectFailed(SluiceError):
    """No connection to the upstream could be made."""

    fault = Fault(
        "upstream_unreachable",
        502,
        EndedBy.UPSTREAM_CUT,
        "Try again; if it stays, the operator should check the upstream's address and health.",
        retry_safe=True,
        blames_upstream=True,
    )


class ConnectTimeout(SluiceError):
    """No connection within `SLUICE_CONNECT_TIMEOUT_SECONDS`."""

    fault = Fault(
        "upstream_connect_timeout",
        504,
        EndedBy.CONNECT_TIMEOUT,
        "Try again; if it stays, the operator should check the way to the upstream.",
        retry_safe=True,
        blames_upstream=True,
    )


class UpstreamReset(SluiceError):
    """The upstream closed the connection before the first byte of a response."""

    fault = replace(ConnectFailed.fault, code="upstream_reset")


class UpstreamInvalid(SluiceError):
    """What the upstream sent is no HTTP answer, or an event stream without one event."""

    fault = Fault(
        "upstream_invalid",
        502,
        EndedBy.UPSTREAM_CUT,
        "Try again; if it stays, the operator should look at what the upstream sends.",
        blames_upstream=True,
    )


class UpstreamCut(SluiceError):
    """The upstream's answer ended before its end."""

    fault = Fault(
        "upstream_cut",
        502,
        EndedBy.UPSTREAM_CUT,
        "The answer is incomplete. Send the request again.",
        blames_upstream=True,
    )


class EndedEarly(UpstreamCut):
    """The body ended cleanly, and yet before the answer's end."""


class UpstreamRefused(SluiceError):
    """The upstream answered with an error, or with no stream, after the commit."""

    fault = Fault(
        "upstream_refused",
        502,
        EndedBy.UPSTREAM_CUT,
        "See what the upstream says, and send the request again.",
        blames_upstream=True,
    )


class UpstreamOverloaded(SluiceError):
    """A 200 whose first event says that the upstream is overloaded."""

    fault = Fault(
        "upstream_overloaded",
        503,
        EndedBy.ERROR_EVENT,
        "Try again a little later.",
        retry_safe=True,
        blames_upstream=True,
    )


class FirstTokenTimeout(SluiceError):
    """No token within `SLUICE_FIRST_TOKEN_TIMEOUT_SECONDS` of the request having been sent."""

    fault = Fault(
        "first_token_timeout",
        504,
        EndedBy.FIRST_TOKEN_TIMEOUT,
        "Try again, or have the operator raise SLUICE_FIRST_TOKEN_TIMEOUT_SECONDS.",
        blames_upstream=True,
    )


class IdleTimeout(SluiceError):
    """No data event within `SLUICE_IDLE_TIMEOUT_SECONDS` of the one before."""

    fault = Fault(
        "idle_timeout",
        504,
        EndedBy.IDLE_TIMEOUT,
        "The answer is incomplete. Send the request again.",
        blames_upstream=True,
    )


class TotalTimeout(SluiceError):
    """Not done within `SLUICE_TOTAL_TIMEOUT_SECONDS`."""

    fault = Fault(
        "total_timeout",
        504,
        EndedBy.TOTAL_TIMEOUT,
        "Ask for less in one request, or have the operator raise SLUICE_TOTAL_TIMEOUT_SECONDS.",
    )


class SlowClient(SluiceError):
    """The client has not taken a byte for `SLUICE_SLOW_CLIENT_TIMEOUT_SECONDS`."""

    fault = Fault("slow_client", 408, EndedBy.SLOW_CLIENT, "Read the stream without pause.")


class ClientLeft(SluiceError):
    """The client closed its connection: an outcome, not a failure."""

    fault = Fault("client_left", 499, EndedBy.CLIENT_LEFT, "Nothing needs to be done.")


class Internal(SluiceError):
    """A defect of Sluice's own."""

    fault = Fault(
        "internal_error",
        500,
        EndedBy.FAILED,
        "Please report it with the request id; the log has the details.",
    )


class Drained(SluiceError):
    """A running stream was cut because the gateway stopped."""

    fault = Fault(
        "gateway_stopped",
        503,
        EndedBy.DRAINED,
        "The answer is incomplete. Send the request again; another instance will answer.",
    )


def body_of(error: SluiceError, family: Family, request_id: str) -> bytes:
    """The error as a JSON body in the family's own shape."""
    return json.dumps(document_of(error, family, request_id)).encode()


def document_of(error: SluiceError, family: Family, request_id: str) -> dict[str, object]:
    """The error as the family's own JSON object, for a body or for an event."""
    fault = error.fault
    message = f"{error.happened} {fault.advice} (request {request_id})"
    if family is Family.MESSAGES:
        kind = _ANTHROPIC_TYPES.get(fault.status, "api_error")
        return {
            "type": "error",
            "error": {"type": kind, "message": message, "code": fault.code},
            "request_id": request_id,
        }
    if family is Family.GEMINI:
        return {"error": google_error(fault.status, fault.code, message, request_id)}
    kind = fault.kind or ("invalid_request_error" if fault.status < 500 else "server_error")
    detail = {"message": message, "type": kind, "code": fault.code, "request_id": request_id}
    return {"error": detail}


def headers_of(error: SluiceError) -> dict[str, str]:
    """The headers that go with the error: `Retry-After` in whole seconds (RFC 9110, 10.2.3)."""
    after = error.retry_after
    if after is None and error.fault.status in {429, 503}:
        after = 1.0
    headers = {} if after is None else {"Retry-After": str(max(1, math.ceil(after)))}
    # Not in any standard; OpenAI's and Anthropic's SDKs do as it says.
    return headers | {"x-should-retry": "false"} if error.fault.final else headers
