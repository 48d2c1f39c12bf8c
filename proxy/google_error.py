"""Errors as Google's APIs tell them (AIP-193), so that its SDKs show code, status and message."""

from __future__ import annotations

_STATUSES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    405: "UNIMPLEMENTED",
    408: "DEADLINE_EXCEEDED",
    413: "INVALID_ARGUMENT",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
"""google.rpc.Code by its HTTP status (google/rpc/code.proto); any other is `INTERNAL`."""


def google_error(status: int, code: str, message: str, request_id: str) -> dict[str, object]:
    """The `error` object for an HTTP status, with Sluice's own code as its reason."""
    reason = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": code.upper(),
        "domain": "sluice",
        "metadata": {"request_id": request_id},
    }
    return {
        "code": status,
        "message": message,
        "status": _STATUSES.get(status, "INTERNAL"),
        "details": [reason],
        "request_id": request_id,
    }
