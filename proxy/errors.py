"""The errors that Sluice creates: each has its status, whose fault it is, and what to do next.

The JSON formats are those of the OpenAI and Anthropic API references ("Errors"), so that an SDK
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
    """A kind of failure; each error class has one."""

    code: str
    status: int
    ended_by: EndedBy
    advice: str
    """What the caller can do next, in one sentence."""
    retry_safe: bool = False
    """Whether the upstream cannot have begun to answer, so that another attempt is harmless."""
    blames_upstream: bool = False
    kind: str = ""
    """OpenAI's `type`, if it does not follow from the status."""
    reason: str = ""
    """The name in logs and metrics, if it is not the code."""
    final: bool = False
    """Whether a retry within minutes would fail again; a header tells the SDKs so."""


class SluiceError(Exception):
    """A failure: its fault, and in one sentence what happened this time."""

    fault: ClassVar[Fault]

    def __init__(self, happened: str, *, retry_after: float | None = None) -> None:
        super().__init__(happened)
        self.happened = happened
        self.retry_after = retry_after
        """The seconds for `Retry-After`; None: the status's default."""


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
    """The client sent no key, or an unknown one, although keys are configured."""

    fault = Fault(
        "invalid_api_key", 401, EndedBy.REJECTED, "Send a key that is configured in this gateway."
    )


class NotFound(SluiceError):
    """No such route, or no upstream serves the model."""

    fault = Fault("not_found", 404, EndedBy.REJECTED, "Check the path and the model's name.")


class Overloaded(SluiceError):
    """All slots are in use, and the queue is full or too slow."""

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
        "Try again; if it stays, the operator should check the network to the upstream.",
        retry_safe=True,
        blames_upstream=True,
    )


class UpstreamReset(SluiceError):
    """The upstream closed the connection before the first byte of a response."""

    fault = replace(ConnectFailed.fault, code="upstream_reset")


class UpstreamInvalid(SluiceError):
    """The upstream sent no valid HTTP response, or an event stream without events."""

    fault = Fault(
        "upstream_invalid",
        502,
        EndedBy.UPSTREAM_CUT,
        "Try again; if it stays, the operator should check what the upstream sends.",
        blames_upstream=True,
    )


class UpstreamCut(SluiceError):
    """The upstream's response was cut off."""

    fault = Fault(
        "upstream_cut",
        502,
        EndedBy.UPSTREAM_CUT,
        "The answer is incomplete. Send the request again.",
        blames_upstream=True,
    )


class EndedEarly(UpstreamCut):
    """The upstream closed the stream cleanly, but without its end marker."""


class UpstreamRefused(SluiceError):
    """The upstream answered with an error, or not with a stream, after the commit."""

    fault = Fault(
        "upstream_refused",
        502,
        EndedBy.UPSTREAM_CUT,
        "See the upstream's message, and send the request again.",
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
    """No token within `SLUICE_FIRST_TOKEN_TIMEOUT_SECONDS` after the request was sent."""

    fault = Fault(
        "first_token_timeout",
        504,
        EndedBy.FIRST_TOKEN_TIMEOUT,
        "Try again, or have the operator raise SLUICE_FIRST_TOKEN_TIMEOUT_SECONDS.",
        blames_upstream=True,
    )


class IdleTimeout(SluiceError):
    """No data event within `SLUICE_IDLE_TIMEOUT_SECONDS` after the previous one."""

    fault = Fault(
        "idle_timeout",
        504,
        EndedBy.IDLE_TIMEOUT,
        "The answer is incomplete. Send the request again.",
        blames_upstream=True,
    )


class TotalTimeout(SluiceError):
    """The answer was not complete within `SLUICE_TOTAL_TIMEOUT_SECONDS`."""

    fault = Fault(
        "total_timeout",
        504,
        EndedBy.TOTAL_TIMEOUT,
        "Request less at once, or have the operator raise SLUICE_TOTAL_TIMEOUT_SECONDS.",
    )


class SlowClient(SluiceError):
    """The client has not read a byte for `SLUICE_SLOW_CLIENT_TIMEOUT_SECONDS`."""

    fault = Fault("slow_client", 408, EndedBy.SLOW_CLIENT, "Read the stream without pause.")


class ClientLeft(SluiceError):
    """The client closed its connection: an outcome, not a failure."""

    fault = Fault("client_left", 499, EndedBy.CLIENT_LEFT, "Nothing needs to be done.")


class Internal(SluiceError):
    """A defect in Sluice."""

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
    """Return the error as a JSON body in the family's format."""
    return json.dumps(document_of(error, family, request_id)).encode()


def document_of(error: SluiceError, family: Family, request_id: str) -> dict[str, object]:
    """Return the error as a JSON object in the family's format, for a body or an event."""
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
    """Return the error's headers: `Retry-After` in whole seconds (RFC 9110, 10.2.3)."""
    after = error.retry_after
    if after is None and error.fault.status in {429, 503}:
        after = 1.0
    headers = {} if after is None else {"Retry-After": str(max(1, math.ceil(after)))}
    # Not in any standard; OpenAI's and Anthropic's SDKs obey it.
    return headers | {"x-should-retry": "false"} if error.fault.final else headers
