"""Computes an answer's cost from prices by model: the operator's, or those of `genai-prices`.

The package's bundled data is used; there is no network access.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from proxy.meter.tally import Tally, Usage
    from proxy.record import RequestRecord

_MILLION = 1_000_000
_MEMBERS = {
    "input": "input_mtok",
    "cached": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
    "reasoning": "output_reasoning_mtok",
}
"""Names of rates here, and in the package."""


class PricesError(ValueError):
    """The operator's file of prices is invalid."""


@dataclass(frozen=True, slots=True)
class Rate:
    """US dollars per million tokens, with tiers by input tokens."""

    base: float
    tiers: tuple[tuple[int, float], ...] = ()
    """Thresholds, ascending, and the price above each."""

    def at(self, input_tokens: int) -> float:
        """Return the price for a request with so many input tokens."""
        return next((to for above, to in reversed(self.tiers) if input_tokens > above), self.base)


@dataclass(frozen=True, slots=True)
class Price:
    """A model's prices. Tokens without a rate of their own cost as input or output."""

    input: Rate | None = None
    cached: Rate | None = None
    cache_write: Rate | None = None
    output: Rate | None = None
    reasoning: Rate | None = None
    request: float = 0.0
    """US dollars per request."""

    def of(self, usage: Usage) -> float:
        """Return the cost of a usage in US dollars."""
        whole_input, whole_output = usage.input_total or 0, usage.output_total or 0
        cost = self.request
        left = whole_input
        for rate, tokens in ((self.cached, usage.cached), (self.cache_write, usage.cache_write)):
            if rate is not None and tokens:
                part = min(tokens, left)
                left -= part
                cost += part * rate.at(whole_input) / _MILLION
        if self.input is not None:
            cost += left * self.input.at(whole_input) / _MILLION
        thought = min(usage.reasoning or 0, whole_output) if self.reasoning else 0
        if self.reasoning is not None:
            cost += thought * self.reasoning.at(whole_input) / _MILLION
        if self.output is not None:
            cost += (whole_output - thought) * self.output.at(whole_input) / _MILLION
        return cost


class Prices:
    """The prices of all models; lookups are cached."""

    def __init__(
        self, own: Mapping[str, Price] | None = None, urls: Mapping[str, str] | None = None
    ) -> None:
        self._own = own or {}
        self._urls = urls or {}
        """Upstreams' URLs by name, which identify the provider."""
        self._bundled: Any = None
        self._flat: dict[int, Price] = {}
        self._find = lru_cache(maxsize=2048)(self._look_up)

    def load(self) -> None:
        """Load the package's data; it takes tens of milliseconds."""
        self._bundled = import_module("genai_prices.data_snapshot").get_snapshot()
        self._find.cache_clear()

    def cost(self, record: RequestRecord, tally: Tally) -> float | None:
        """Return the answer's cost in US dollars; None if its usage or its price is unknown."""
        if tally.usage is None:
            return None
        for model in (record.model, tally.model):
            price = self._own_price(model)
            if price is not None:
                return price.of(tally.usage)
        for model in (tally.model, record.model):
            bundled_model = self._find(model, self._urls.get(record.upstream, ""))
            if bundled_model is not None:
                return self._price_now(bundled_model).of(tally.usage)
        return None

    def _price_now(self, bundled_model: Any) -> Price:
        """Return the current price, which may depend on the hour; conversions are cached."""
        prices = bundled_model.get_prices(datetime.now(UTC))
        flat = self._flat.get(id(prices))
        if flat is None:
            flat = self._flat[id(prices)] = _flat(prices)
        return flat

    def _own_price(self, model: str) -> Price | None:
        if not model or not self._own:
            return None
        exact = self._own.get(model)
        globs = (price for glob, price in self._own.items() if fnmatchcase(model, glob))
        return exact or next(globs, None)

    def _look_up(self, model: str, url: str) -> Any:
        """Find the package's model, by the upstream's URL if it is a known provider's."""
        if self._bundled is None or not model:
            return None
        for address in dict.fromkeys((url or None, None)):
            try:
                return self._bundled.find_provider_model(model, None, None, address)[1]
            except LookupError:
                continue
        return None


def read_prices(path: str) -> dict[str, Price]:
    """Read the operator's prices by glob, from TOML or, if the name ends in `.json`, JSON.

    Each entry is a model's name or glob with US dollars per million tokens:
    `"my-model-*" = { input = 0.5, cached = 0.05, output = 1.5 }`; `cache_write` and `reasoning`
    are optional. An exact name precedes a glob, and an earlier glob a later one.

    Raises PricesError, which names the entry and what would be right.
    """
    try:
        text = Path(path).read_bytes()
        entries = msgspec.json.decode(text) if path.endswith(".json") else _toml(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.DecodeError) as error:
        raise PricesError(f"{path} cannot be read: {error}") from error
    if not isinstance(entries, dict):
        raise PricesError(f"{path} is not a table of models")
    return {model: _own(path, model, entry) for model, entry in entries.items()}


def _toml(text: bytes) -> dict[str, Any]:
    return tomllib.loads(text.decode())


def _own(path: str, model: str, entry: Any) -> Price:
    where = f"{path}: {model!r}"
    if not isinstance(entry, dict) or not entry.keys() & {"input", "output"}:
        raise PricesError(f"{where} should be a table with input, output or both")
    for name, value in entry.items():
        if name not in _MEMBERS:
            raise PricesError(f"{where} has {name!r}; known are {', '.join(_MEMBERS)}")
        if type(value) not in {int, float} or not 0 <= value < float("inf"):
            raise PricesError(f"{where}: {name} is {value!r}, not dollars per million tokens")
    rates: dict[str, Any] = {name: Rate(float(value)) for name, value in entry.items()}
    return Price(**rates)


def _flat(prices: Any) -> Price:
    """Convert the package's price; rates of other units than text tokens are omitted."""
    rates = {name: _rate(getattr(prices, member)) for name, member in _MEMBERS.items()}
    return Price(**rates, request=float(prices.requests_kcount or 0) / 1000)


def _rate(price: Any) -> Rate | None:
    if price is None:
        return None
    tiers = getattr(price, "tiers", ())
    base = float(price.base if tiers else price)
    return Rate(base, tuple((tier.start, float(tier.price)) for tier in tiers))
