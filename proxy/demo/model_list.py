"""The list of models, in each provider's format."""

from __future__ import annotations

from typing import Any

from proxy.demo.grammar import PRESETS, split_model

_CREATED = 1_767_225_600
_CREATED_TEXT = "2026-01-01T00:00:00Z"
_METHODS = ("generateContent", "streamGenerateContent", "countTokens")


def known(model: str) -> bool:
    """Return whether the list has this model; words after its name are ignored."""
    return split_model(model)[0] in PRESETS


def openai_model(model: str) -> dict[str, Any]:
    """Return one model as OpenAI does."""
    return {"id": model, "object": "model", "created": _CREATED, "owned_by": "sluice-demo"}


def openai_models() -> dict[str, Any]:
    """Return all models as OpenAI does."""
    return {"object": "list", "data": [openai_model(model) for model in PRESETS]}


def anthropic_model(model: str) -> dict[str, Any]:
    """Return one model as Anthropic does."""
    title = model.replace("-", " ").title()
    return {"type": "model", "id": model, "display_name": title, "created_at": _CREATED_TEXT}


def anthropic_models() -> dict[str, Any]:
    """Return all models as Anthropic does, on one page."""
    models = list(PRESETS)
    return {
        "data": [anthropic_model(model) for model in models],
        "has_more": False,
        "first_id": models[0],
        "last_id": models[-1],
    }


def gemini_model(model: str) -> dict[str, Any]:
    """Return one model as Gemini does."""
    return {
        "name": f"models/{model}",
        "displayName": model,
        "inputTokenLimit": 1_048_576,
        "outputTokenLimit": 65_536,
        "supportedGenerationMethods": list(_METHODS),
    }


def gemini_models() -> dict[str, Any]:
    """Return all models as Gemini does."""
    return {"models": [gemini_model(model) for model in PRESETS]}
