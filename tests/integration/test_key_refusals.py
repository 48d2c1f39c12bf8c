"""What the `openai` and `anthropic` SDKs raise at each refusal of a key, and how long they wait."""

from __future__ import annotations

import asyncio
import re
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import pytest

from tests.fixtures.sdks import anthropic, openai
from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import StartWorker, Worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator

HELLO: Any = {"model": "demo;tokens=3", "messages": [{"role": "user", "content": "Hello"}]}
PRICES = '"demo*" = { input = 1000000, output = 1000000 }\n'
PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
RAISED: dict[str, Any] = {"openai": openai, "anthropic": anthropic}
DENIED = ("PermissionDeniedError", "PermissionDeniedError")
LIMITED = ("RateLimitError", "RateLimitError")
UNAVAILABLE = ("InternalServerError", "ServiceUnavailableError")


@dataclass(frozen=True)
class Refusal:
    """One row: what a key meets, what the SDKs make of it, and whether they come again."""

    status: int
    code: str
    raised: tuple[str, str]
    """By `openai` and by `anthropic`."""
    again: bool = False
    """Whether the SDK waits as `Retry-After` says and tries again, as often as it may."""
    key: str = "sk-open"
    spent: bool = False
    """Whether the key's first request is served, and uses it up."""


NAMELESS = Refusal(401, "invalid_api_key", ("AuthenticationError", "AuthenticationError"))
TABLE = {
    "two keys that differ": Refusal(400, "invalid_request", ("BadRequestError", "BadRequestError")),
    "a wrong key": Refusal(**vars(NAMELESS) | {"key": "sk-wrong"}),
    "an expired key": Refusal(**vars(NAMELESS) | {"key": "sk-expired"}),
    "no key": NAMELESS,
    "another model": Refusal(403, "not_allowed", DENIED, key="sk-model"),
    "another route": Refusal(403, "not_allowed", DENIED, key="sk-route"),
    "requests": Refusal(429, "rate_limit_exceeded", LIMITED, again=True, key="sk-rpm", spent=True),
    "tokens": Refusal(429, "rate_limit_exceeded", LIMITED, again=True, key="sk-tpm", spent=True),
    "streams": Refusal(429, "rate_limit_exceeded", LIMITED, again=True, key="sk-streams"),
    "budget": Refusal(429, "insufficient_quota", LIMITED, key="sk-budget", spent=True),
    "no place in line": Refusal(503, "overloaded", UNAVAILABLE, again=True),
    "no store, `closed`": Refusal(503, "limits_unavailable", UNAVAILABLE, again=True, key="sk-rpm"),
}
BY_SDK = [(name, sdk) for name in TABLE for sdk in RAISED]


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as server:
        yield server


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the SDKs have waited before each further try; here they do not."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(anyio, "sleep", sleep)
    return waited


@pytest.fixture
async def worker(start_worker: StartWorker, store: StoreServer, tmp_path: Any) -> Worker:
    """Keys for every refusal there is; some are used up by their first request."""
    prices = tmp_path / "prices.toml"
    prices.write_text(PRICES)
    keys: Any = (
        {"name": "open", "key": "sk-open"},
        {"name": "expired", "key": "sk-expired", "expires": "2020-01-01T00:00:00Z"},
        {"name": "rpm", "key": "sk-rpm", "requests_per_minute": 1},
        {"name": "tpm", "key": "sk-tpm", "tokens_per_minute": 6},
        {"name": "streams", "key": "sk-streams", "max_streams": 1},
        {"name": "budget", "key": "sk-budget", "budget_usd": 1},
        {"name": "model", "key": "sk-model", "models": ["other"]},
        {"name": "route", "key": "sk-route", "routes": ["/v1/models"]},
    )
    return await start_worker(
        keys=keys,
        store_url=store.url,
        store_timeout_seconds=5,
        limits_without_store="closed",
        max_streams=1,
        queue_size=0,
        queue_timeout_seconds=0.3,
        prices=str(prices),
    )


async def ask(worker: Worker, sdk: str, key: str, *, retries: int = 0, headers: Any = None) -> Any:
    """One question by an SDK, with a key where it puts one."""
    given: Any = {"api_key": key, "max_retries": retries}
    more: Any = {"extra_headers": headers}
    if sdk == "openai":
        async with openai.AsyncOpenAI(base_url=worker.url + "/v1", **given) as client:
            return await client.chat.completions.create(**HELLO, **more)
    async with anthropic.AsyncAnthropic(base_url=worker.url, **given) as other:
        return await other.messages.create(max_tokens=5, **HELLO, **more)


def headers_for(name: str, sdk: str) -> Any:
    """What the client sends beside its key, or in its place."""
    if name == "two keys that differ":
        return {"api-key": "sk-another"}
    if name == "no key":
        return {"Authorization": RAISED[sdk].omit, "X-Api-Key": RAISED[sdk].omit}
    return None


@pytest.mark.parametrize(("name", "sdk"), BY_SDK)
async def test_a_refusal(
    worker: Worker, store: StoreServer, waits: list[float], name: str, sdk: str
) -> None:
    """Its own exception, at once or after as many waits as it was told to; nothing else."""
    row = TABLE[name]
    if row.spent:
        await ask(worker, sdk, row.key)
        await until(lambda: worker.state.limiter.reservations.held == 0, "it is not settled")
    async with AsyncExitStack() as stack:
        if name in {"streams", "no place in line"}:
            client = await stack.enter_async_context(
                openai.AsyncOpenAI(base_url=worker.url + "/v1", api_key=row.key)
            )
            slow: Any = {"stream": True, "extra_body": {"demo": "tokens=1000;rate=20"}}
            await stack.enter_async_context(await client.chat.completions.create(**HELLO, **slow))
        if name.startswith("no store"):
            store.kill()
        with pytest.raises(getattr(RAISED[sdk], row.raised[sdk == "anthropic"])) as refused:
            await ask(worker, sdk, row.key, retries=2, headers=headers_for(name, sdk))
    answer = refused.value.response
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (row.status, row.code)
    assert len(waits) == (2 if row.again else 0)
    if row.again:
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        # No more than its own doubling pause, had it not been told.
        assert all(wait == int(wait) and 1 <= wait <= 60 for wait in waits)
    assert ("retry-after" in answer.headers) is (row.status in {429, 503})


def test_the_page_has_this_table() -> None:
    """`docs/keys.md` says what is held here, row by row."""
    text = PAGE.read_text(encoding="utf-8")
    text = text.partition("| refusal | `openai` raises |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| (.+) \| `(\w+)`.* \| `(\w+)` \| (.+) \|$", text, re.MULTILINE)
    told = {name: (one, other, "Retry-After" in waits) for name, one, other, waits in rows}
    assert told == {
        f"{name} ({row.status})": (*row.raised, row.again) for name, row in TABLE.items()
    }


@pytest.mark.parametrize("sdk", RAISED)
async def test_the_sdk_waits_as_it_is_told(
    start_worker: StartWorker, store: StoreServer, sdk: str
) -> None:
    """It tries again after `Retry-After`, and that is long enough: once is all it takes."""
    key: Any = {"name": "one", "key": "sk-one", "requests_per_minute": 30}
    worker = await start_worker(keys=(key,), store_url=store.url, store_timeout_seconds=5)
    loop = asyncio.get_running_loop()
    # The whole bucket at once: the thirty-first has up to two seconds to wait.
    await asyncio.gather(*(ask(worker, sdk, "sk-one") for _ in range(30)))
    began = loop.time()
    await ask(worker, sdk, "sk-one", retries=1)
    waited = loop.time() - began
    refused = worker.state.telemetry.registry.get_sample_value(
        "sluice_limited_requests_total", {"key": "one", "limit": "requests_per_minute"}
    )
    # On a busy machine the bucket may have refilled meanwhile; then nobody was refused.
    assert refused in {0.0, 1.0}
    assert not refused or waited >= 0.9
