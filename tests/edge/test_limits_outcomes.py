"""However a request of a limited key ends, nothing of it is left over: the table of outcomes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest

from proxy.edge import forward
from proxy.errors import Drained
from proxy.record import EndedBy
from tests.edge.asking import CHAT, chat
from tests.edge.test_limiter import AS_KEY, KEY, figures, limited, nothing_left_over
from tests.fixtures.ports import free_port
from tests.fixtures.stores import StoreServer, store_server
from tests.integration.conftest import Demo, StartWorker, Worker, until
from tests.integration.raw import Line, request

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
    with store_server() as server:
        yield server


async def told(worker: Worker, body: Any, path: str = CHAT) -> None:
    """Ask, and take whatever comes."""
    with contextlib.suppress(aiohttp.ClientError):
        async with (
            aiohttp.ClientSession() as http,
            http.post(worker.url + path, json=body, headers=AS_KEY) as answer,
        ):
            await answer.read()


@contextlib.contextmanager
def unreachable() -> Iterator[str]:
    """A base URL whose host takes no connection, and does not say so either."""
    with socket.socket() as listening, socket.socket() as first, socket.socket() as second:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        for pending in (first, second):
            # With its queue full, the kernel drops whoever comes next (listen(2)).
            pending.setblocking(False)
            pending.connect_ex(listening.getsockname())
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


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
    (EndedBy.ERROR_EVENT, {}, "demo;tokens=9;error=5", 1),
]
IN_TESTS_OF_THEIR_OWN = {
    EndedBy.CLIENT_LEFT,
    EndedBy.CONNECT_TIMEOUT,
    EndedBy.DRAINED,
    EndedBy.FAILED,
    EndedBy.LIMITED,
    EndedBy.SHED,
    EndedBy.SLOW_CLIENT,
}


def test_every_outcome_has_its_row() -> None:
    """No way to end is left out."""
    assert {row[0] for row in TABLE} | IN_TESTS_OF_THEIR_OWN == set(EndedBy)


class Endings:
    """The records of the requests of a worker, each as it ends."""

    def __init__(self, worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
        self.records: list[Any] = []

        def keep(context: Any) -> None:
            self.records.append(context.record)

        monkeypatch.setattr(worker.state.telemetry, "_record", keep)

    async def of_one(self) -> Any:
        """The record of the only request, once it has ended."""
        await until(lambda: len(self.records) == 1, "it did not end")
        return self.records[0]


@pytest.mark.parametrize(
    ("ended_by", "settings", "model", "requests"), TABLE, ids=lambda value: str(value)[:30]
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
    endings = Endings(worker, monkeypatch)
    await told(worker, chat(model) if model else [])
    assert (await endings.of_one()).ended_by is ended_by
    left = await nothing_left_over(worker)
    assert 2 - left.requests_left == requests


async def test_an_upstream_that_takes_no_connection(
    start_worker: StartWorker, store: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It got nothing, so nothing is charged."""
    with unreachable() as url:
        settings = {"upstream_url": url, "connect_timeout_seconds": 0.1, "retries": 0}
        worker = await limited(start_worker, store, settings, **LIMITS)
        endings = Endings(worker, monkeypatch)
        await told(worker, chat())
    assert (await endings.of_one()).ended_by is EndedBy.CONNECT_TIMEOUT
    left = await nothing_left_over(worker)
    assert (left.requests_left, left.tokens_left) == (2, 100_000)


async def test_a_client_that_takes_nothing(
    start_worker: StartWorker, store: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is broken off, and what it made the upstream do is charged."""
    worker = await limited(start_worker, store, {"slow_client_timeout_seconds": 0.3}, **LIMITS)
    endings = Endings(worker, monkeypatch)
    body = json.dumps(chat("demo;line=64MiB")).encode()
    fields = [("Content-Type", "application/json"), *AS_KEY.items()]
    async with await Line.open(worker.url, receive_buffer=4096) as line:
        await line.ask(request("POST", CHAT, body, fields))
        record = await endings.of_one()
    assert record.ended_by is EndedBy.SLOW_CLIENT
    assert (await nothing_left_over(worker)).requests_left == 1


@pytest.mark.parametrize(("where", "requests"), [("relay_response", 1), ("_first_response", 0)])
async def test_a_defect_of_its_own(
    start_worker: StartWorker,
    store: StoreServer,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    requests: int,
) -> None:
    """Whether or not the upstream was called, the reservation is settled."""
    worker = await limited(start_worker, store, {}, **LIMITS)
    endings = Endings(worker, monkeypatch)

    async def fail(*_: object) -> None:
        raise AssertionError("a defect")

    monkeypatch.setattr(forward, where, fail)
    await told(worker, chat())
    assert (await endings.of_one()).ended_by is EndedBy.FAILED
    assert (await nothing_left_over(worker)).requests_left == 2 - requests


async def test_a_limit_that_says_no(
    start_worker: StartWorker, store: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is refused by one limit has taken nothing of the others."""
    worker = await limited(start_worker, store, {}, **{**LIMITS, "requests_per_minute": 1})
    await told(worker, chat())
    before = await nothing_left_over(worker)
    endings = Endings(worker, monkeypatch)
    await told(worker, chat())
    record = await endings.of_one()
    assert (record.ended_by, record.error) == (EndedBy.LIMITED, "requests_per_minute")
    left = await nothing_left_over(worker)
    assert left.tokens_left >= before.tokens_left
    assert left.spent_usd == before.spent_usd


@pytest.mark.parametrize("moment", ["before the answer", "in the waiting line"])
async def test_a_client_that_leaves_early(
    start_worker: StartWorker,
    store: StoreServer,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """What was sent counts as a request; who still waited has used nothing."""
    waits = moment == "in the waiting line"
    worker = await limited(start_worker, store, {"max_streams": 1}, **LIMITS)
    running = asyncio.create_task(told(worker, chat("demo;tokens=20;rate=20"))) if waits else None
    if waits:
        await until(lambda: worker.state.admission.taken == 1, "it does not run")
    endings = Endings(worker, monkeypatch)
    asking = asyncio.create_task(told(worker, chat("demo;hang-before=5")))
    if waits:
        await until(lambda: worker.state.admission.waiting == 1, "it does not wait")
    else:
        await until(lambda: worker.state.upstreams.connections()[0] == 1, "it is not sent")
    asking.cancel()
    await asyncio.gather(asking, return_exceptions=True)
    record = await endings.of_one()
    assert record.ended_by is EndedBy.CLIENT_LEFT
    if running is not None:
        await running
    assert (await nothing_left_over(worker)).requests_left == 1


@pytest.mark.parametrize("policy", ["cancel", "grace", "drain"])
async def test_a_client_that_leaves(
    start_worker: StartWorker, store: StoreServer, demo: Demo, policy: str
) -> None:
    """Whatever becomes of the upstream's answer, it is settled in the end."""
    settings = {"on_client_left": policy, "grace_seconds": 0.1}
    worker = await limited(start_worker, store, settings, **LIMITS)
    await left(worker, "demo;tokens=30;rate=60")
    await demo.state.until(lambda state: not state.open)
    remaining = await nothing_left_over(worker)
    assert remaining.requests_left == 1
    # What came is far less than what was expected of a model that nobody knows.
    assert remaining.tokens_left > 100_000 - 200


async def test_a_drain(start_worker: StartWorker, store: StoreServer) -> None:
    """What runs, and what waits for one of the key's streams, is cut and settled."""
    worker = await limited(start_worker, store, {}, **{**LIMITS, "max_streams": 1})
    running = asyncio.create_task(told(worker, chat("demo;tokens=500;rate=20")))
    await until(lambda: bool(worker.state.watchdogs), "it does not run")
    waiting = asyncio.create_task(told(worker, chat()))
    await until(lambda: worker.state.limiter.stream_queues.waiting == 1, "it does not wait")
    assert worker.state.cut_all(Drained("It stops.")) == 2
    await asyncio.gather(running, waiting)
    assert (await nothing_left_over(worker)).requests_left == 1


async def test_a_full_waiting_line(
    start_worker: StartWorker, store: StoreServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is shed has used nothing."""
    worker = await limited(start_worker, store, {"max_streams": 1, "queue_size": 0}, **LIMITS)
    running = asyncio.create_task(told(worker, chat("demo;tokens=20;rate=40")))
    await until(lambda: worker.state.admission.taken == 1, "it does not run")
    endings = Endings(worker, monkeypatch)
    await told(worker, chat())
    assert (await endings.of_one()).ended_by is EndedBy.SHED
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
