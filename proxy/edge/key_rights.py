"""Decides which models and routes a key may use."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.key_settings import KeyDefaults


def refusal(key: KeyDefaults, path: str, model: str | None) -> str | None:
    """Return why the key may not do this, and what it may; None if it may.

    Without a model, only the route is checked.
    """
    if not _any(key.routes, path):
        return f"This API key may not call {path}; it may call {_listed(key.routes)}."
    if model is not None and not may_use(key, model):
        return f"This API key may not use the model {model!r}; it may use {_listed(key.models)}."
    return None


def may_use(key: KeyDefaults, model: str) -> bool:
    """Whether the key may use a model, by the name that clients send."""
    return _any(key.models, model)


def _any(globs: Iterable[str], name: str) -> bool:
    return any(fnmatchcase(name, glob) for glob in globs)


def _listed(globs: Iterable[str]) -> str:
    return ", ".join(globs)
