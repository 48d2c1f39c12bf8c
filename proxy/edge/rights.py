"""What a key may do: which models, which routes. Decided here, said by whoever asks."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.key_settings import KeyDefaults


def refusal(key: KeyDefaults, path: str, model: str | None) -> str | None:
    """Why the key may not do this, with what it may; None where it may.

    A request without a model is a matter of routes alone.
    """
    if not _any(key.routes, path):
        return f"This API key may not call {path}; it may call {_listed(key.routes)}."
    if model is not None and not may_use(key, model):
        return f"This API key may not use the model {model!r}; it may use {_listed(key.models)}."
    return None


def may_use(key: KeyDefaults, model: str) -> bool:
    """Whether the key may use a model, by the name that clients use."""
    return _any(key.models, model)


def _any(globs: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _listed(globs: Iterable[str]) -> str:
    return ", ".join(globs)
