"""What is used up is 503 with `Retry-After`, and noticed before it is."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import resource
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from aiohttp.web_protocol import RequestHandler

from proxy.edge.resource_exhaustion import Descriptors, refusal_for
from tests.appliance.running import wait_until
from tests.edge.asking import CHAT, chat
from tests.fixtures.ports import free_port
from tests.integration.conftest import Demo, StartWorker, demo, start_worker  # noqa: F401 fixtures

LIMIT, RAISED = 72, 1024


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        (MemoryError(), True),
        (OSError(errno.EMFILE, "x"), True),
        (OSError(errno.ENOMEM, "x"), True),
        (RuntimeError("can't start new thread"), True),
        (RuntimeError("a defect"), False),
        (OSError(errno.EACCES, "x"), False),
        (ConnectionResetError(), False),
        (ValueError(), False),
    ],
)
def test_which_errors_mean_that_something_is_used_up(error: Exception, refused: bool) -> None:
    """A defect stays one."""
    refusal = refusal_for(error)
    assert (refusal is not None) is refused
    assert refusal is None or refusal.fault.status == 503


def test_a_connection_needs_room_for_its_upstream_as_well() -> None:
    """And for those of the others that have none yet."""
    few = Descriptors(limit=64)
    assert few.reserve == 8
    assert few.room_for(41, pending=13)
    assert not few.room_for(41, pending=14)
    assert few.room_for(54, pending=0)
    assert not few.room_for(55, pending=0)


def test_an_idle_connection_to_an_upstream_serves_one_more_client() -> None:
    """It spares the second descriptor, but never the client's own."""
    few = Descriptors(limit=64)
    assert few.room_for(55, pending=-1)
    assert not few.room_for(56, pending=-5)


def test_the_lowest_free_number_is_the_next_one() -> None:
    """As the kernel says."""
    opened = os.dup(0)
    os.close(opened)
    assert Descriptors().lowest_free() == opened


async def test_out_of_memory_is_a_503(
    start_worker: StartWorker,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With a time to come again, and not counted as a defect."""

    async def exhausted(*_: object) -> None:
        raise MemoryError

    worker = await start_worker()
    monkeypatch.setattr("proxy.edge.forward.prepare", exhausted)
    async with aiohttp.ClientSession() as http, http.post(worker.url + CHAT, json=chat()) as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"]
        assert "memory" in (await answer.json())["error"]["message"]


@asynccontextmanager
async def short_of_descriptors(
    demo: Demo,  # noqa: F811
    **settings: str,
) -> AsyncIterator[tuple[str, int]]:
    """The URL and process id of a worker with descriptors for some twenty clients."""
    port = free_port()
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SLUICE_")}
    command = [sys.executable, "-m", "proxy", "worker", "--host", "127.0.0.1", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        "prlimit",
        f"--nofile={LIMIT}:{RAISED}",
        *command,
        env=environment | {"SLUICE_UPSTREAM_URL": demo.url + "/v1"} | settings,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await asyncio.to_thread(wait_until, lambda: listens(port), "the worker")
        yield f"http://127.0.0.1:{port}", process.pid
    finally:
        process.terminate()
        await process.wait()


async def test_with_few_descriptors_clients_wait_to_be_taken_in(
    demo: Demo,  # noqa: F811
) -> None:
    """A hundred at a worker with descriptors for some twenty: each has its stream in the end."""
    async with short_of_descriptors(demo) as (url, _):
        answers = await asyncio.gather(*(status_of(url) for _ in range(100)))
    assert set(answers) == {200}


async def test_descriptors_of_low_numbers_are_free_while_high_ones_are_in_use(
    demo: Demo,  # noqa: F811
) -> None:
    """Streams that opened last still hold theirs; nobody is taken in whom that leaves without one.

    The first twelve end before the ten after them, and the kernel assigns their low numbers anew.
    The worker is stopped meanwhile, so that it accepts all others at once.
    """
    async with short_of_descriptors(demo) as (url, worker), asyncio.TaskGroup() as tasks:
        first = [tasks.create_task(status_of(url, "close")) for _ in range(12)]
        await asyncio.sleep(0.1)
        long = [tasks.create_task(status_of(url, "close;tokens=100")) for _ in range(10)]
        await asyncio.gather(*first)
        os.kill(worker, signal.SIGSTOP)
        others = [tasks.create_task(status_of(url)) for _ in range(40)]
        await asyncio.to_thread(wait_until, lambda: backlog(url) == len(others), "all others")
        os.kill(worker, signal.SIGCONT)
        answers = await asyncio.gather(*long, *others)
    assert set(answers) == {200}


async def test_nobody_waits_in_the_backlog_without_end(
    demo: Demo,  # noqa: F811
) -> None:
    """While streams hold all descriptors, those behind them get 503 once their time is over.

    In the shape of their family and with a time to come again; the streams notice nothing, and who
    comes after them is served.
    """
    long = chat("demo;ttft=0;tokens=80;rate=20")
    async with (
        short_of_descriptors(demo, SLUICE_QUEUE_TIMEOUT_SECONDS="0.5") as (url, _),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
    ):

        async def one(body: dict[str, object]) -> tuple[int, str, bytes]:
            async with http.post(url + CHAT, json=body) as answer:
                return answer.status, answer.headers.get("Retry-After", ""), await answer.read()

        answers = await asyncio.wait_for(asyncio.gather(*(one(long) for _ in range(60))), 60)
        served = [body for status, _, body in answers if status == 200]
        refused = [(after, body) for status, after, body in answers if status == 503]
        assert len(served) + len(refused) == len(answers)
        assert served
        assert refused
        assert all(b"[DONE]" in body for body in served)
        assert {json.loads(body)["error"]["code"] for _, body in refused} == {"overloaded"}
        # On a busy machine one that was let in may have waited for a slot for too long.
        backlog = [after for after, body in refused if b"descriptors" in body]
        assert backlog
        assert set(backlog) == {"5"}
        assert (await one(chat("demo;ttft=0;tokens=2")))[0] == 200


async def test_more_descriptors_while_it_runs(
    demo: Demo,  # noqa: F811
) -> None:
    """A limit that is raised is noticed (prlimit(1)): who waited is taken in, with no restart."""
    endless = chat("demo;ttft=0;tokens=1000000;rate=2")
    async with (
        short_of_descriptors(demo, SLUICE_QUEUE_TIMEOUT_SECONDS="60") as (url, pid),
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http,
        AsyncExitStack() as streams,
    ):

        async def begins() -> int:
            answer = await streams.enter_async_context(http.post(url + CHAT, json=endless))
            await answer.content.readany()
            return answer.status

        beginning = [asyncio.create_task(begins()) for _ in range(40)]
        await asyncio.wait(beginning, timeout=1)
        assert not all(task.done() for task in beginning)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (RAISED, RAISED))
        assert set(await asyncio.wait_for(asyncio.gather(*beginning), 30)) == {200}


def listens(port: int) -> bool:
    """Whether a worker is there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def backlog(url: str) -> int:
    """How many connections wait to be accepted: the kernel shows it as the listener's queue."""
    address, listening = f":{int(url.rpartition(':')[2]):04X}", "0A"
    for line in Path("/proc/net/tcp").read_text(encoding="ascii").splitlines():
        _, local, _, state, queues, *_ = line.split()
        if local.endswith(address) and state == listening:
            return int(queues.rpartition(":")[2], 16)
    return 0


async def status_of(url: str, faults: str = "") -> int:
    """The status of one stream of its own connection, read to its end."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(url + CHAT, json=chat(f"demo;ttft=0;tokens=20;rate=40;{faults}")) as answer,
    ):
        assert b"[DONE]" in await answer.read()
        return answer.status


async def test_no_memory_for_the_rest_of_a_body(
    start_front: StartWorker,
    demo: Demo,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A 503 that a client can read which still sends; no upstream is asked, nobody else notices."""
    original = RequestHandler.data_received

    def short(self: RequestHandler, data: bytes) -> None:
        if b"the end" in data:
            raise MemoryError
        original(self, data)

    monkeypatch.setattr(RequestHandler, "data_received", short)
    front = await start_front()

    reader, writer = await asyncio.open_connection("127.0.0.1", int(front.url.rpartition(":")[2]))
    head = f"POST {CHAT} HTTP/1.1\r\nHost: sluice.test\r\nContent-Type: application/json\r\n"
    writer.write(f"{head}Content-Length: 1000000\r\n\r\n{{".encode())
    await asyncio.sleep(0.05)
    writer.write(b'"the end')
    answer = await reader.readuntil(b"\r\n\r\n")
    # A client that has not finished sending goes on with it.
    writer.write(b" " * 500_000)
    answer += await reader.readuntil(b"}}")
    writer.close()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: " in answer
    assert b"out of memory" in answer
    assert demo.state.seen == 0
    async with aiohttp.ClientSession() as http, http.post(front.url + CHAT, json=chat()) as good:
        assert good.status == 200
