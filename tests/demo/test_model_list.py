from __future__ import annotations

from proxy.demo import model_list
from proxy.demo.grammar import PRESETS


def test_each_provider_lists_every_preset() -> None:
    """The three lists hold the same models."""
    openai = [model["id"] for model in model_list.openai_models()["data"]]
    anthropic = [model["id"] for model in model_list.anthropic_models()["data"]]
    gemini = [model["name"] for model in model_list.gemini_models()["models"]]
    assert openai == anthropic == list(PRESETS)
    assert gemini == [f"models/{name}" for name in PRESETS]


def test_a_model_is_known_by_its_name() -> None:
    """Words behind the name do not make it another model."""
    assert model_list.known("demo;rate=1")
    assert not model_list.known("gpt-9")
