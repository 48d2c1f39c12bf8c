"""Estimates a request's tokens from the requests that have ended."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_TOKENS_PER_BYTE = 0.25
"""The ratio for English prose, used until a model's own is known."""
_OUTPUT_TOKENS = 256
_NEWEST = 0.2
"""The weight of the newest answer in the moving average."""
_MOST_MODELS = 1024
"""Bounded, because clients choose the models' names."""


@dataclass(frozen=True, slots=True)
class Expected:
    """The expected tokens of one request."""

    input: int = 0
    output: int = 0

    @property
    def tokens(self) -> int:
        """Input and output together, as `tokens_per_minute` counts them."""
        return self.input + self.output


@dataclass(slots=True)
class _Means:
    ratio: float = _TOKENS_PER_BYTE
    output: float = _OUTPUT_TOKENS


class Estimates:
    """Moving averages by model, of one worker."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, _Means] = OrderedDict()

    def expected(self, model: str, body_bytes: int, max_output: int, choices: int) -> Expected:
        """Estimate a request to a model; `max_output` 0 means that it sets none."""
        means = self._models.get(model) or _Means()
        output = (max_output or round(means.output)) * choices
        return Expected(max(1, round(body_bytes * means.ratio)), output)

    def learn(self, model: str, body_bytes: int, used: Expected, choices: int) -> None:
        """Update the averages with the usage that the upstream stated."""
        known = self._models.pop(model, None)
        means = self._models[model] = known or _Means()
        newest = 1.0 if known is None else _NEWEST
        if body_bytes and used.input:
            means.ratio += newest * (used.input / body_bytes - means.ratio)
        means.output += newest * (used.output / choices - means.output)
        while len(self._models) > _MOST_MODELS:
            self._models.popitem(last=False)
