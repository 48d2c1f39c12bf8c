"""Label values from small, bounded sets, so that clients cannot create time series."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.record import EndedBy, Family

if TYPE_CHECKING:
    from proxy.meter.shared_name_set import SharedNameSet
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
    """Requested model names with series of their own: those an upstream has answered, up to a cap.

    A name that no upstream has answered does not count, however often it is requested.
    """

    def __init__(self, known: SharedNameSet) -> None:
        self._known = known

    def label(self, name: str, *, answered: bool) -> str:
        """Return the name if it is known, or becomes so by being answered; else `other`.

        A request that names no model keeps its empty name.
        """
        if not name or name in self._known:
            return name
        return name if answered and _is_valid(name) and self._known.admit(name) else OTHER


class AnsweringNames:
    """The names of the models that answered, each paired with the requested name.

    The pairs are capped, not the names: an upstream that answers many names, each with many
    others, would otherwise create a quadratic number of series.
    """

    def __init__(self, known: SharedNameSet) -> None:
        self._known = known

    def label(self, requested: str, name: str, *, answered: bool) -> str:
        """Return the answering model's name, or `other`, also if `requested` is `other`."""
        if not name:
            return name
        pair = f"{requested}\t{name}"  # A valid name contains no tab.
        if pair in self._known:
            return name
        valid = answered and requested != OTHER and _is_valid(name)
        return name if valid and self._known.admit(pair) else OTHER


def _is_valid(name: str) -> bool:
    """Whether a name is short and printable: an exposition cannot hold surrogates."""
    return len(name) <= _LONGEST and name.isprintable()


def operation_of(family: Family, route: str) -> str:
    """Return the operation's name in the semantic conventions."""
    return _OPERATIONS.get(family) or ("embeddings" if route.endswith("/embeddings") else OTHER)


def provider_of(family: Family) -> str:
    """Return the provider of the API format, which need not be the upstream's operator."""
    return _PROVIDERS.get(family, OTHER)


def was_answered(record: RequestRecord) -> bool:
    """Whether an upstream accepted the request, so that the model exists."""
    return record.upstream_status is not None and 200 <= record.upstream_status < 300


def error_type(record: RequestRecord) -> str:
    """Return why the request failed, as one word; empty if it did not."""
    if record.error:
        return record.error
    if record.ended_by not in {EndedBy.COMPLETE, None}:
        return str(record.ended_by)
    return str(record.status) if record.status >= 400 else ""
