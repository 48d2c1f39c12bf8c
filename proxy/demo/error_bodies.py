"""Builds error bodies in the documented formats of OpenAI, Anthropic and Gemini."""

from __future__ import annotations

from typing import Any

_OPENAI_TYPES = {
    401: ("invalid_request_error", "invalid_api_key"),
    403: ("invalid_request_error", "unsupported_country_region_territory"),
    409: ("invalid_request_error", "conflict"),
    429: ("requests", "rate_limit_exceeded"),
    503: ("server_error", "service_unavailable"),
    529: ("server_error", "server_is_overloaded"),
}
_ANTHROPIC_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_GEMINI_STATES = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_MESSAGES = {
    401: "Incorrect API key provided to the demo upstream.",
    413: "The request is larger than the demo upstream accepts.",
    429: "Rate limit reached for requests. Please try again later.",
    503: "The service is temporarily unable to serve the request. Please try again later.",
    529: "Overloaded",
}


def message_for(status: int) -> str:
    """Say what an answer with this status tells people."""
    return _MESSAGES.get(status, f"The demo upstream was asked to answer with {status}.")


def openai(status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """OpenAI's error body."""
    family = "server_error" if status >= 500 else "invalid_request_error"
    kind, code = _OPENAI_TYPES.get(status, (family, None))
    if (status, param) == (404, "model"):
        code = "model_not_found"
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def anthropic(status: int, message: str, request_id: str) -> dict[str, Any]:
    """Anthropic's error body, which is also the data of its `error` event."""
    fallback = "api_error" if status >= 500 else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(status, fallback)
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


def gemini(status: int, message: str) -> dict[str, Any]:
    """Google's error body (`google.rpc.Status`)."""
    state = _GEMINI_STATES.get(status, "UNKNOWN")
    return {"error": {"code": status, "message": message, "status": state}}
