"""What the demo needs to know about a family in order to answer in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from proxy.demo import error_bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from proxy.demo.events import Event
    from proxy.demo.generation_request import GenerationRequest
    from proxy.demo.plan import Plan


class Trouble(Protocol):
    """Make the error event that stands after `sent` events; `status` is what it amounts to."""

    def __call__(self, request: GenerationRequest, status: int, sent: int) -> Event:
        """Return the event."""
        ...


@dataclass(frozen=True, slots=True)
class Dialect:
    """What all routes of one provider share: its error body and its headers."""

    name: str
    refusal: Callable[[int, str, str | None, str], dict[str, Any]]
    headers: Callable[[str], list[tuple[str, str]]]
    limits: Callable[[bool], list[tuple[str, str]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One wire dialect of generated answers.

    `read` raises InvalidRequestError for a wrong request; `ping` is None where pings are SSE
    comments; `eol` is the line end that the provider uses.
    """

    name: str
    dialect: Dialect
    read: Callable[[Mapping[str, Any], Plan], GenerationRequest]
    events: Callable[[GenerationRequest], Iterator[Event]]
    whole: Callable[[GenerationRequest], dict[str, Any]]
    trouble: Trouble
    ping: Event | None = None
    eol: bytes = b"\n"


def _openai_headers(request_id: str) -> list[tuple[str, str]]:
    return [
        ("x-request-id", request_id),
        ("openai-organization", "sluice-demo"),
        ("openai-processing-ms", "12"),
        ("openai-version", "2020-10-01"),
    ]


def _openai_limits(spent: bool) -> list[tuple[str, str]]:  # noqa: FBT001 - a row of the table below
    return [
        ("x-ratelimit-limit-requests", "5000"),
        ("x-ratelimit-limit-tokens", "800000"),
        ("x-ratelimit-remaining-requests", "0" if spent else "4999"),
        ("x-ratelimit-remaining-tokens", "0" if spent else "799980"),
        ("x-ratelimit-reset-requests", "1s" if spent else "12ms"),
        ("x-ratelimit-reset-tokens", "1s" if spent else "1ms"),
    ]


def _anthropic_limits(spent: bool) -> list[tuple[str, str]]:  # noqa: FBT001 - as above
    return [
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "0" if spent else "3999"),
        ("anthropic-ratelimit-requests-reset", "2026-01-01T00:00:01Z"),
        ("anthropic-ratelimit-output-tokens-limit", "400000"),
        ("anthropic-ratelimit-output-tokens-remaining", "0" if spent else "399000"),
        ("anthropic-ratelimit-output-tokens-reset", "2026-01-01T00:00:01Z"),
    ]


OPENAI = Dialect(
    "openai",
    lambda status, message, param, _: error_bodies.openai(status, message, param),
    _openai_headers,
    _openai_limits,
)
ANTHROPIC = Dialect(
    "anthropic",
    lambda status, message, _, request_id: error_bodies.anthropic(status, message, request_id),
    lambda request_id: [
        ("request-id", request_id),
        ("anthropic-organization-id", "00000000-de40-4000-8000-000000000001"),
    ],
    _anthropic_limits,
)
GEMINI = Dialect(
    "gemini",
    lambda status, message, _param, _id: error_bodies.gemini(status, message),
    lambda _: [("Server-Timing", "gfet4t7; dur=12")],
    lambda _: [],
)
