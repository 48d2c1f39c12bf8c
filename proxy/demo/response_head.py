"""The head of a response: status line and headers, some of them wrong on purpose."""

from __future__ import annotations

import enum
import math
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from proxy.demo.plan import Plan

Headers = list[tuple[str, str]]

_BIG_HEADER_NAME = "x-demo-big"


class Framing(enum.Enum):
    """How the end of a body is marked (RFC 9112, section 6.3)."""

    CHUNKED = "by the last chunk"
    LENGTH = "by Content-Length"
    CLOSE = "by the end of the connection"


class Head(NamedTuple):
    """A head; `length` is the body's true length in bytes, for framing by length."""

    status: int
    headers: Headers
    framing: Framing
    length: int | None = None


def framing_for(plan: Plan, *, streamed: bool, http10: bool) -> Framing:
    """Choose the framing that the faults need and the client understands."""
    if plan.has("length-long", "length-short"):
        return Framing.LENGTH
    if http10 or plan.has("close", "http10"):
        return Framing.CLOSE
    # With the length of what is really sent, a cut answer would be complete.
    cut = plan.has("cut", "cut-inside", "cut-utf8", "cut-reset", "cut-clean", "cut-chunk")
    if streamed or cut or plan.has("gzip", "bad-chunk", "line", "garbage"):
        return Framing.CHUNKED
    return Framing.LENGTH


def head_bytes(head: Head, plan: Plan) -> bytes:
    """Encode the head."""
    version = "1.0" if plan.has("http10") else "1.1"
    lines = [f"HTTP/{version} {head.status} {_reason(head.status)}"]
    lines += (f"{name}: {value}" for name, value in _headers(head, plan))
    return "\r\n".join((*lines, "", "")).encode("latin-1")


def _headers(head: Head, plan: Plan) -> Headers:
    headers = [("Date", formatdate(usegmt=True)), ("Server", "sluice-demo"), *head.headers]
    if plan.has("gzip"):
        headers.append(("Content-Encoding", "gzip"))
    headers += _framing_headers(head, plan)
    headers += ((f"x-demo-{number}", "so many") for number in range(plan.count("many-headers")))
    if plan.has("big-headers"):
        headers.append((_BIG_HEADER_NAME, "x" * plan.count("big-headers")))
    for header in plan.headers:
        name, _, value = header.partition(":")
        headers.append((name, value.strip()))
    return headers


def _framing_headers(head: Head, plan: Plan) -> Headers:
    if head.framing is Framing.CHUNKED:
        return [("Transfer-Encoding", "chunked")]
    if head.framing is Framing.CLOSE or head.length is None:
        return [("Connection", "close")]
    lie = plan.count("length-long") - plan.count("length-short")
    return [("Content-Length", str(max(0, head.length + lie)))]


def retry_headers(plan: Plan, status: int) -> Headers:
    """Return the retry headers, in whole seconds (RFC 9110) and in milliseconds."""
    wait = plan.retry_after
    if wait is None:
        if status not in (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE):
            return []
        wait = 1.0
    return [("Retry-After", str(math.ceil(wait))), ("retry-after-ms", str(round(wait * 1000)))]


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"
