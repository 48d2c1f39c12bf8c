"""What the load asks: every family, both ways of answering, and what can go wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

MODELS = ("gpt-4o-mini", "claude-sonnet-4-5", "house-7b")
UNPRICED = "in-house-experiment"
ODD_MODEL = "odd-one"
"""Served by the upstream that sends an event nobody can read."""
FALLING_BACK = "house-13b"
"""Served by an upstream at which nobody listens, and by one of the next tier."""
PACE = "ttft=0.15;rate=60;tokens=25;jitter=0.5"
LONG = "ttft=0.15;rate=60;tokens=150"
_SAID = [{"role": "user", "content": "Why do rivers bend?"}]


@dataclass(frozen=True)
class Ask:
    """One request, and after how many chunks its client leaves (0: it stays)."""

    path: str
    body: dict[str, Any] | None
    """None: a GET."""
    demo: str = ""
    leaves_after: int = 0
    headers: dict[str, str] = field(default_factory=dict)


def families(model: str, demo: str, *, stream: bool = True) -> Iterator[Ask]:
    """The same question in every family."""
    yield Ask("/v1/chat/completions", {"model": model, "messages": _SAID, "stream": stream}, demo)
    yield Ask("/v1/responses", {"model": model, "input": "Why?", "stream": stream}, demo)
    yield Ask("/v1/completions", {"model": model, "prompt": "Why?", "stream": stream}, demo)
    anthropic = {"model": model, "messages": _SAID, "max_tokens": 500, "stream": stream}
    yield Ask("/v1/messages", anthropic, demo)
    verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
    parts = {"contents": [{"role": "user", "parts": [{"text": "Why?"}]}]}
    yield Ask(f"/v1beta/models/{model}:{verb}", parts, demo)


def chat(model: str, demo: str = "", leaves_after: int = 0, **headers: str) -> Ask:
    """One streamed chat."""
    body = {"model": model, "messages": _SAID, "stream": True}
    return Ask("/v1/chat/completions", body, demo, leaves_after, headers)


def mixture() -> list[Ask]:
    """One round of everything, for the most part well."""
    asks = [*families(MODELS[0], PACE), *families(MODELS[0], PACE)]
    asks += families(MODELS[0], "ttft=0.05;tokens=10", stream=False)
    asks += [chat(model, f"{PACE};reasoning=12") for model in MODELS for _ in range(4)]
    asks += [chat(MODELS[0], f"{PACE};tools=1"), chat(MODELS[0], f"{PACE};cached=40;prompt=90")]
    asks += [chat(UNPRICED, PACE), chat(ODD_MODEL), chat(MODELS[2], f"{PACE};no-usage")]
    asks += [chat(FALLING_BACK, PACE) for _ in range(2)]
    asks += [chat(MODELS[2], fault) for fault in ("cut=8", "error=6", "hang=5") for _ in range(2)]
    asks += [
        chat(MODELS[2], fault) for fault in ("hang-before", "status=429", "status=500", "refuse")
    ]
    asks += [chat(MODELS[1], f"{PACE};tokens=80", leaves_after=3) for _ in range(3)]
    asks += [
        chat(MODELS[0], Authorization="Bearer nobody's key"),
        Ask("/v1/embeddings", {"model": MODELS[0], "input": "a"}),
    ]
    return asks
