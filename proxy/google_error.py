"""Builds errors in the format of Google's APIs (AIP-193), which its SDKs parse."""

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
"""google.rpc.Code by HTTP status (google/rpc/code.proto); all others are `INTERNAL`."""


def google_error(status: int, code: str, message: str, request_id: str) -> dict[str, object]:
    """Return the `error` object for an HTTP status, with Sluice's own code as its reason."""
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
