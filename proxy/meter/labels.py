"""Label values from small, bounded sets: nothing a client invents becomes a time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.record import EndedBy, Family

if TYPE_CHECKING:
    from proxy.meter.known_names import KnownNames
    from proxy.record import RequestRecord

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

    def __init__(self, known: KnownNames) -> None:
        self._known = known

    def label(self, name: str, *, answered: bool) -> str:
        """The name itself if it is known, or becomes known by being answered; else `other`.

        A request that names no model keeps its empty name.
        """
        if not name or name in self._known:
            return name
        return name if answered and _is_decent(name) and self._known.admit(name) else OTHER


class AnsweringNames:
    """The names of the models that answered, each with the name that was asked for.

    The pairs are capped, and not only the names: an upstream that answers one model under many
    names, and many models under each, would else fill the registry by the square.
    """

    def __init__(self, known: KnownNames) -> None:
        self._known = known

    def label(self, asked: str, name: str, *, answered: bool) -> str:
        """The answering model's name, or `other`; what stands for others is answered by others."""
        if not name:
            return name
        pair = f"{asked}\t{name}"  # No decent name holds a tab.
        if pair in self._known:
            return name
        decent = answered and asked != OTHER and _is_decent(name)
        return name if decent and self._known.admit(pair) else OTHER


def _is_decent(name: str) -> bool:
    """Short, and without what an exposition cannot hold, such as half a surrogate pair."""
    return len(name) <= _LONGEST and name.isprintable()


def operation_of(family: Family, route: str) -> str:
    """The operation's name in the semantic conventions."""
    return _OPERATIONS.get(family) or ("embeddings" if route.endswith("/embeddings") else OTHER)


def provider_of(family: Family) -> str:
    """The provider whose format is spoken, which need not be whose machine it is."""
    return _PROVIDERS.get(family, OTHER)


def was_answered(record: RequestRecord) -> bool:
    """Whether an upstream took the request: what shows that the model exists."""
    return record.upstream_status is not None and 200 <= record.upstream_status < 300


def error_type(record: RequestRecord) -> str:
    """Why it failed, as one word; empty if it did not."""
    if record.error:
        return record.error
    if record.ended_by not in {EndedBy.COMPLETE, None}:
        return str(record.ended_by)
    return str(record.status) if record.status >= 400 else ""
