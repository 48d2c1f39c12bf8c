"""How many tokens a request is expected to take, learned from those that have ended."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

_TOKENS_PER_BYTE = 0.25
"""Of English prose, until a model has shown its own."""
_OUTPUT_TOKENS = 256
_NEWEST = 0.2
"""What the newest answer counts for, in a mean that forgets."""
_MOST_MODELS = 1024
"""Names of models are the clients' to choose."""


@dataclass(frozen=True, slots=True)
class Expected:
    """Tokens of one request, before it is sent."""

    input: int = 0
    output: int = 0

    @property
    def tokens(self) -> int:
        """Both together, as `tokens_per_minute` counts them."""
        return self.input + self.output


@dataclass(slots=True)
class _Means:
    ratio: float = _TOKENS_PER_BYTE
    output: float = _OUTPUT_TOKENS


class Estimates:
    """The means of one worker, by model."""

    def __init__(self) -> None:
        self._models: OrderedDict[str, _Means] = OrderedDict()

    def expected(self, model: str, body_bytes: int, max_output: int, choices: int) -> Expected:
        """What a request to a model is expected to take; `max_output` 0: it does not say."""
        means = self._models.get(model) or _Means()
        output = (max_output or round(means.output)) * choices
        return Expected(max(1, round(body_bytes * means.ratio)), output)

    def learn(self, model: str, body_bytes: int, used: Expected, choices: int) -> None:
        """Take in what the upstream says a request has taken."""
        known = self._models.pop(model, None)
        means = self._models[model] = known or _Means()
        newest = 1.0 if known is None else _NEWEST
        if body_bytes and used.input:
            means.ratio += newest * (used.input / body_bytes - means.ratio)
        means.output += newest * (used.output / choices - means.output)
        while len(self._models) > _MOST_MODELS:
            self._models.popitem(last=False)
