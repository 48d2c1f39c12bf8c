"""However a request of a limited key ends, nothing of it is left over: the table of outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxy.errors import Drained
from proxy.record import EndedBy
from tests.edge.asking import CHAT, chat
from tests.edge.test_limiter import AS_KEY, KEY, figures, limited, nothing_left_over
from tests.fixtures.stores import StoreServer, free_port, store_server
from tests.integration.conftest import Demo, StartWorker, Worker, until

if TYPE_CHECKING:
    from collections.abc import Iterator

LIMITS: Any = {
    "requests_per_minute": 2,
    "tokens_per_minute": 100_000,
    "max_streams": 5,
    "budget_usd": 10,
}
FAULTS = (
    *("error", "status=500", "status=429", "garbage", "cut=0", "overloaded", "reset", "empty"),
    *("gzip", "batch", "split", "close", "redirect", "drip", "bom"),
)
DEAD = "http://127.0.0.1:9/v1"
"""The discard port: nobody listens."""


@pytest.fixture
def store() -> Iterator[StoreServer]:
    with store_server() as one:
        yield one


async def told(worker: Worker, body: Any, path: str = CHAT) -> None:
    """Ask, and take whatever comes."""
    with contextlib.suppress(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession() as http,
            http.post(worker.url + path, json=body, headers=AS_KEY) as answer,
        ):
            await answer.read()


async def left(worker: Worker, model: str) -> None:
    """Ask, and leave after the first event."""
    async with (
        aiohttp.ClientSession() as http,
        http.post(worker.url + CHAT, json=chat(model), headers=AS_KEY) as answer,
    ):
        await answer.content.readuntil(b"\n\n")
        answer.close()


TABLE: list[tuple[EndedBy, dict[str, Any], str, int]] = [
    (EndedBy.COMPLETE, {}, "demo;tokens=3", 1),
    (EndedBy.UPSTREAM_CUT, {}, "demo;cut=1", 1),
    (EndedBy.UPSTREAM_CUT, {"upstream_url": DEAD, "retries": 0}, "demo", 0),
    (EndedBy.FIRST_TOKEN_TIMEOUT, {"first_token_timeout_seconds": 0.2}, "demo;ttft=5", 1),
    (EndedBy.IDLE_TIMEOUT, {"idle_timeout_seconds": 0.3}, "demo;hang=2", 1),
    (EndedBy.TOTAL_TIMEOUT, {"total_timeout_seconds": 0.5}, "demo;tokens=999;rate=20", 1),
    (EndedBy.REJECTED, {}, "", 0),
]


@pytest.mark.parametrize(
    ("ended_by", "settings", "model", "requests"), TABLE, ids=lambda one: str(one)[:30]
)
async def test_an_outcome(
    start_worker: StartWorker,
    store: StoreServer,
    monkeypatch: pytest.MonkeyPatch,
    ended_by: EndedBy,
    settings: dict[str, Any],
    model: str,
    requests: int,
) -> None:
    """Its reservation and its stream are gone; a request that reached an upstream has counted."""
    worker = await limited(start_worker, store, {"retries": 0, **settings}, **LIMITS)
    ended: list[Any] = []
    monkeypatch.setattr(worker.state.telemetry, "_record", ended.append)
    await told(worker, chat(model) if model else [])
    await until(lambda: len(ended) == 1, "it did not end")
    assert ended[0].record.ended_by is ended_by
    found = await nothing_left_over(worker)
    assert 2 - found.requests_left == requests


@pytest.mark.parametrize("policy", ["cancel", "grace", "drain"])
async def test_a_client_that_leaves(
    start_worker: StartWorker, store: StoreServer, demo: Demo, policy: str
) -> None:
    """Whatever becomes of the upstream's answer, it is settled in the end."""
    settings = {"on_client_left": policy, "grace_seconds": 0.1}
    worker = await limited(start_worker, store, settings, **LIMITS)
    await left(worker, "demo;tokens=30;rate=60")
    await demo.state.until(lambda state: not state.open)
    found = await nothing_left_over(worker)
    assert found.requests_left == 1
    # What came is far less than what was expected of a model that nobody knows.
    assert found.tokens_left > 100_000 - 200


async def test_a_drain(start_worker: StartWorker, store: StoreServer) -> None:
    """What runs, and what waits for one of the key's streams, is cut and settled."""
    worker = await limited(start_worker, store, {}, **{**LIMITS, "max_streams": 1})
    running = asyncio.create_task(told(worker, chat("demo;tokens=500;rate=20")))
    await until(lambda: bool(worker.state.watchdogs), "it does not run")
    waiting = asyncio.create_task(told(worker, chat()))
    await until(lambda: worker.state.limiter.lines.waiting == 1, "it does not wait")
    assert worker.state.cut_all(Drained("It stops.")) == 2
    await asyncio.gather(running, waiting)
    assert (await nothing_left_over(worker)).requests_left == 1


async def test_a_full_waiting_line(start_worker: StartWorker, store: StoreServer) -> None:
    """Who is shed has used nothing."""
    worker = await limited(start_worker, store, {"max_streams": 1, "queue_size": 0}, **LIMITS)
    running = asyncio.create_task(told(worker, chat("demo;tokens=20;rate=40")))
    await until(lambda: worker.state.admission.taken == 1, "it does not run")
    await told(worker, chat())
    await running
    assert (await nothing_left_over(worker)).requests_left == 1


async def test_a_second_upstream(start_worker: StartWorker, store: StoreServer, demo: Demo) -> None:
    """One request that was tried twice is one request."""
    upstreams = ({"name": "dead", "url": DEAD}, {"name": "demo", "url": demo.url + "/v1"})
    settings = {"upstream_url": None, "upstreams": upstreams, "retries": 2}
    worker = await limited(start_worker, store, settings, upstream="dead", **LIMITS)
    await told(worker, chat())
    assert demo.state.seen == 1
    assert (await nothing_left_over(worker)).requests_left == 1


@pytest.mark.parametrize("fault", FAULTS)
async def test_faults(start_worker: StartWorker, store: StoreServer, fault: str) -> None:
    """Nothing is left over under the demo's faults, and each is one request."""
    worker = await limited(start_worker, store, {"retries": 0}, **LIMITS)
    await told(worker, chat(f"demo;{fault}"))
    assert (await nothing_left_over(worker)).requests_left == 1


async def test_a_worker_that_is_killed(
    start_worker: StartWorker, store: StoreServer, demo: Demo, tmp_path: Path
) -> None:
    """Its stream is gone within the lease's ten seconds, and another worker lets the next in."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "proxy", "worker", "--host", "127.0.0.1", "--port", str(port)),
        env=os.environ
        | {
            "SLUICE_UPSTREAM_URL": demo.url + "/v1",
            "SLUICE_STORE_URL": store.url,
            "SLUICE_STORE_TIMEOUT_SECONDS": "5",
            "SLUICE_KEYS": f'[{{"name": "one", "key": "{KEY}", "max_streams": 1}}]',
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    worker = await limited(start_worker, store, {}, max_streams=1)
    body = chat("demo;tokens=2000;rate=20")
    async with aiohttp.ClientSession() as http:
        for _ in range(200):
            try:
                answer = await http.post(
                    f"http://127.0.0.1:{port}{CHAT}", json=body, headers=AS_KEY
                )
                break
            except aiohttp.ClientConnectionError:
                await asyncio.sleep(0.1)
        await answer.content.readuntil(b"\n\n")
        assert (await figures(worker)).streams == 1
        process.send_signal(signal.SIGKILL)
        await process.wait()
        answer.close()
    await told(worker, chat())
    await nothing_left_over(worker)
