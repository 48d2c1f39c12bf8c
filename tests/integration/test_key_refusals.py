"""What the `openai` and `anthropic` SDKs raise at each refusal of a key, and how long they wait."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import anthropic
import openai
import pytest

from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import StartWorker, Worker, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HELLO: Any = {"model": "demo;tokens=3", "messages": [{"role": "user", "content": "Hello"}]}
PRICES = '"demo*" = { input = 1000000, output = 1000000 }\n'


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as one:
        yield one


async def chat(worker: Worker, key: str, retries: int = 0, **more: Any) -> Any:
    async with openai.AsyncOpenAI(
        base_url=worker.url + "/v1", api_key=key, max_retries=retries
    ) as one:
        return await one.chat.completions.create(**HELLO, **more)


async def message(worker: Worker, key: str, retries: int = 0, **more: Any) -> Any:
    async with anthropic.AsyncAnthropic(
        base_url=worker.url, api_key=key, max_retries=retries
    ) as one:
        return await one.messages.create(max_tokens=5, **HELLO, **more)


ASK = {"openai": chat, "anthropic": message}
RAISED: dict[str, Any] = {"openai": openai, "anthropic": anthropic}


@pytest.fixture
async def worker(start_worker: StartWorker, store: StoreServer, tmp_path: Any) -> Worker:
    """Keys for every refusal there is; some are used up by their first request."""
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    keys: Any = (
        {"name": "rpm", "key": "sk-rpm", "requests_per_minute": 1},
        {"name": "fast", "key": "sk-fast", "requests_per_minute": 30},
        {"name": "tpm", "key": "sk-tpm", "tokens_per_minute": 1},
        {"name": "streams", "key": "sk-streams", "max_streams": 1},
        {"name": "budget", "key": "sk-budget", "budget_usd": 1},
        {"name": "model", "key": "sk-model", "models": ["other"]},
    )
    return await start_worker(
        keys=keys,
        store_url=store.url,
        store_timeout_seconds=5,
        queue_timeout_seconds=0.3,
        prices=str(prices),
    )


@pytest.mark.parametrize("sdk", ASK)
@pytest.mark.parametrize(
    ("key", "raised", "first"),
    [
        ("sk-wrong", "AuthenticationError", False),
        ("sk-model", "PermissionDeniedError", False),
        ("sk-rpm", "RateLimitError", True),
        ("sk-tpm", "RateLimitError", True),
        ("sk-budget", "RateLimitError", True),
    ],
)
async def test_a_refusal(worker: Worker, sdk: str, key: str, raised: str, first: bool) -> None:
    """Its own exception for it; with the time to come back where there is one."""
    if first:
        await ASK[sdk](worker, key)
        held = worker.state.limiter.reservations
        await until(lambda: held.held == 0, "it is not settled")
    with pytest.raises(getattr(RAISED[sdk], raised)) as refused:
        await ASK[sdk](worker, key)
    answer = refused.value.response
    if first:
        assert int(answer.headers["retry-after"]) >= 1
    if sdk == "openai" and first:
        code = "insufficient_quota" if key == "sk-budget" else "rate_limit_exceeded"
        assert refused.value.code == code


@pytest.mark.parametrize("sdk", ASK)
async def test_all_streams_taken(worker: Worker, sdk: str) -> None:
    """After the wait in line it is a `RateLimitError`, too."""
    async with openai.AsyncOpenAI(base_url=worker.url + "/v1", api_key="sk-streams") as one:
        more: Any = {"stream": True, "extra_body": SLOW}
        stream = await one.chat.completions.create(**HELLO, **more)
        with pytest.raises(RAISED[sdk].RateLimitError):
            await ASK[sdk](worker, "sk-streams")
        await stream.close()


SLOW = {"demo": "tokens=200;rate=20"}


@pytest.mark.parametrize("sdk", ASK)
async def test_the_sdk_waits_as_it_is_told(
    start_worker: StartWorker, store: StoreServer, sdk: str
) -> None:
    """It tries again after `Retry-After`, and that is long enough: once is all it takes."""
    key: Any = {"name": "one", "key": "sk-one", "requests_per_minute": 30}
    worker = await start_worker(keys=(key,), store_url=store.url, store_timeout_seconds=5)
    asked: Callable[..., Any] = ASK[sdk]
    # The whole bucket at once: the thirty-first has up to two seconds to wait.
    await asyncio.gather(*(asked(worker, "sk-one") for _ in range(30)))
    began = time.monotonic()
    await asked(worker, "sk-one", retries=1)
    waited = time.monotonic() - began
    refused = worker.state.telemetry.registry.get_sample_value(
        "sluice_limited_requests_total", {"key": "one", "limit": "requests_per_minute"}
    )
    # On a busy machine the bucket may have refilled meanwhile; then nobody was refused.
    assert refused in {None, 1.0}
    assert refused is None or waited >= 0.9


@pytest.mark.parametrize("sdk", ASK)
async def test_a_spent_budget_is_not_tried_again(worker: Worker, sdk: str) -> None:
    """However often the SDK would: it is told that it is in vain, and raises at once."""
    await ASK[sdk](worker, "sk-budget")
    await until(lambda: worker.state.limiter.reservations.held == 0, "it is not settled")
    with pytest.raises(RAISED[sdk].RateLimitError):
        await asyncio.wait_for(ASK[sdk](worker, "sk-budget", retries=5), 5)
