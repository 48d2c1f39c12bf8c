from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices import calc_price

from proxy.meter.prices import Price, Prices, PricesError, Rate, read_prices
from proxy.meter.tally import Tally, Usage
from proxy.record import Family, RequestRecord

if TYPE_CHECKING:
    from pathlib import Path


def record(model: str, upstream: str = "a") -> RequestRecord:
    """A request for a model."""
    return RequestRecord("r", "POST", "/v1/x", Family.CHAT, 0.0, model=model, upstream=upstream)


@pytest.fixture(scope="module")
def bundled() -> Prices:
    """Prices with the package's data."""
    prices = Prices(urls={"azure": "https://x.openai.azure.com", "own": "http://127.0.0.1:8000/v1"})
    prices.load()
    return prices


@pytest.mark.parametrize(
    "model",
    [
        "gpt-4o",
        "gpt-4.1-nano-2025-04-14",
        "claude-haiku-4-5-20251001",
        "gemini-2.5-pro",
        "deepseek-chat",
        "grok-3-mini",
    ],
)
@pytest.mark.parametrize("size", [1, 40_000])
def test_a_bundled_price_gives_what_the_package_gives(
    bundled: Prices, model: str, size: int
) -> None:
    """Caches, tiers and all."""
    usage = Usage(input=7 * size, output=3 * size, cached=5 * size)
    theirs = calc_price(
        TheirUsage(input_tokens=7 * size, output_tokens=3 * size, cache_read_tokens=5 * size), model
    )
    ours = bundled.cost(record(model), Tally(usage=usage))
    assert ours == pytest.approx(float(theirs.total_price))
    assert ours


def test_a_cache_beside_the_input_costs_what_caches_cost(bundled: Prices) -> None:
    """Anthropic's input leaves its cache out; the price does not."""
    usage = Usage(4, 221, cached=1165, cache_write=100, input_beside=1265)
    theirs = calc_price(
        TheirUsage(
            input_tokens=1269, output_tokens=221, cache_read_tokens=1165, cache_write_tokens=100
        ),
        "claude-haiku-4-5",
    )
    ours = bundled.cost(record("claude-haiku-4-5"), Tally(usage=usage))
    assert ours == pytest.approx(float(theirs.total_price))


def test_the_model_that_answered_is_priced_under_an_invented_name(bundled: Prices) -> None:
    """An alias in the request does not hide it, and the upstream's address need not help."""
    tally = Tally(usage=Usage(100, 10), model="gpt-4o")
    for upstream in ("azure", "own", "a"):
        assert bundled.cost(record("our-best", upstream), tally)


def test_an_unknown_model_has_no_price(bundled: Prices) -> None:
    """Which is not a price of 0."""
    assert bundled.cost(record("tiny"), Tally(usage=Usage(100, 10))) is None
    assert bundled.cost(record(""), Tally(usage=Usage(100, 10))) is None


def test_no_usage_has_no_cost(bundled: Prices) -> None:
    """Nor is that 0."""
    assert bundled.cost(record("gpt-4o"), Tally()) is None


def test_before_the_data_is_loaded_only_own_prices_are_known() -> None:
    """And afterwards all are."""
    prices = Prices({"gpt-4o": Price(output=Rate(1.0))})
    tally = Tally(usage=Usage(0, 1_000_000))
    assert prices.cost(record("gpt-4o"), tally) == 1.0
    assert prices.cost(record("gpt-4.1"), tally) is None
    prices.load()
    assert prices.cost(record("gpt-4.1"), tally)
    assert prices.cost(record("gpt-4o"), tally) == 1.0


def test_the_higher_tier_holds_above_its_threshold() -> None:
    """For the whole request, by its input."""
    price = Price(input=Rate(1.0, ((200, 2.0), (500, 4.0))))
    assert [price.input and price.input.at(n) for n in (0, 200, 201, 501)] == [1.0, 1.0, 2.0, 4.0]


def test_kinds_without_a_rate_cost_what_their_whole_does() -> None:
    """Cached tokens as input, reasoning as output."""
    usage = Usage(1_000_000, 2_000_000, reasoning=500_000, cached=400_000)
    assert Price(input=Rate(1.0), output=Rate(3.0)).of(usage) == pytest.approx(7.0)
    apart = Price(input=Rate(1.0), output=Rate(3.0), cached=Rate(0.5), reasoning=Rate(1.0))
    assert apart.of(usage) == pytest.approx(0.6 + 0.2 + 1.5 * 3 + 0.5)


def test_a_price_for_each_request_is_added() -> None:
    """Some searches cost by the request."""
    assert Price(request=0.005).of(Usage(1, 1)) == 0.005


def test_own_prices_come_from_toml_or_json(tmp_path: Path) -> None:
    """Exact names before globs, earlier globs before later ones."""
    toml = tmp_path / "prices.toml"
    toml.write_text('"a-*" = {input = 1, output = 2.5}\n"*" = {output = 9}\n[a-1]\ninput = 3\n')
    own = read_prices(str(toml))
    prices = Prices(own)
    tally = Tally(usage=Usage(1_000_000, 0))
    costs = [prices.cost(record(model), tally) for model in ("a-1", "a-2", "b")]
    assert costs == [3.0, 1.0, 0.0]
    as_json = tmp_path / "prices.json"
    as_json.write_text('{"a-*": {"input": 1, "output": 2.5}}')
    assert read_prices(str(as_json)) == {"a-*": own["a-*"]}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("nonsense", "cannot be read"),
        ("a = 5", "should be a table with input, output or both"),
        ("[a]\ncached = 1", "should be a table with input, output or both"),
        ("[a]\ninput = 1\nprompt = 2", "has 'prompt'; known are input, cached"),
        ('[a]\ninput = "cheap"', "input is 'cheap', not dollars per million tokens"),
        ("[a]\ninput = -1", "input is -1"),
        ("[a]\ninput = inf", "input is inf"),
        ("[a]\ninput = true", "input is True"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    """The file, the entry, and what would be right."""
    path = tmp_path / "prices.toml"
    path.write_text(text)
    with pytest.raises(PricesError, match=r"prices\.toml") as refused:
        read_prices(str(path))
    assert complaint in str(refused.value)


def test_a_missing_file_or_a_list_is_refused(tmp_path: Path) -> None:
    """With its path."""
    with pytest.raises(PricesError, match="nowhere"):
        read_prices(str(tmp_path / "nowhere"))
    path = tmp_path / "prices.json"
    path.write_text("[]")
    with pytest.raises(PricesError, match="not a table"):
        read_prices(str(path))
