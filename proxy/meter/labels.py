"""Label values from small, bounded sets: nothing a client invents becomes a time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.exchange import EndedBy, Family

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.exchange import Exchange

OTHER = "other"
_LONGEST = 100

# `gen_ai.operation.name` and `gen_ai.provider.name` (OpenTelemetry GenAI semantic conventions).
_OPERATIONS = {
    Family.CHAT: "chat",
    Family.RESPONSES: "chat",
    Family.MESSAGES: "chat",
    Family.COMPLETIONS: "text_completion",
    Family.GEMINI: "generate_content",
}
_PROVIDERS = {
    Family.CHAT: "openai",
    Family.RESPONSES: "openai",
    Family.COMPLETIONS: "openai",
    Family.MESSAGES: "anthropic",
    Family.GEMINI: "gcp.gemini",
}


class ModelNames:
    """The model names that are kept apart: those that an upstream has answered, up to a cap.

    A name that nobody has answered costs no place, however often it is asked for.
    """

    def __init__(self, most: int = 100, known: Iterable[str] = ()) -> None:
        self._most = most
        self._known: set[str] = set()
        for name in known:
            self.label(name, answered=True)

    def label(self, name: str, *, answered: bool) -> str:
        """The name itself if it is known, or becomes known by being answered; else `other`.

        A request that names no model keeps its empty name.
        """
        if not name or name in self._known:
            return name
        if not answered or len(self._known) >= self._most or not _is_decent(name):
            return OTHER
        self._known.add(name)
        return name


def _is_decent(name: str) -> bool:
    """Short, and without what an exposition cannot hold, such as half a surrogate pair."""
    return len(name) <= _LONGEST and name.isprintable()


def operation_of(family: Family, route: str) -> str:
    """The operation's name in the semantic conventions."""
    return _OPERATIONS.get(family) or ("embeddings" if route.endswith("/embeddings") else OTHER)


def provider_of(family: Family) -> str:
    """The provider whose dialect is spoken, which need not be whose machine it is."""
    return _PROVIDERS.get(family, OTHER)


def was_answered(exchange: Exchange) -> bool:
    """Whether an upstream took the request: what shows that the model exists."""
    return exchange.upstream_status is not None and 200 <= exchange.upstream_status < 300


def error_type(exchange: Exchange) -> str:
    """Why it failed, as one word; empty if it did not."""
    if exchange.error:
        return exchange.error
    if exchange.ended_by not in {EndedBy.COMPLETE, None}:
        return str(exchange.ended_by)
    return str(exchange.status) if exchange.status >= 400 else ""
