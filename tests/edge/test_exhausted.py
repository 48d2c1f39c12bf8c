"""What is used up is 503 with `Retry-After`, and noticed before it is."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import sys

import aiohttp
import pytest

from proxy.edge.exhausted import Descriptors, refusal_for
from tests.appliance.running import wait_until
from tests.edge.asking import CHAT, chat
from tests.integration.conftest import Demo, StartWorker, demo, start_worker  # noqa: F401 fixtures
from tests.integration.nginx_instances import free_port

LIMIT = 72


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
    assert few.room_for(40, pending=13)
    assert not few.room_for(40, pending=14)
    assert not few.room_for(63, pending=0)


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


async def test_with_few_descriptors_clients_wait_to_be_taken_in(
    demo: Demo,  # noqa: F811
) -> None:
    """A hundred at a worker with descriptors for some twenty: each has its stream in the end."""
    port = free_port()
    environment = {name: v for name, v in os.environ.items() if not name.startswith("SLUICE_")}
    command = [sys.executable, "-m", "proxy", "worker", "--host", "127.0.0.1", "--port", str(port)]
    process = await asyncio.create_subprocess_exec(
        "prlimit",
        f"--nofile={LIMIT}:{LIMIT}",
        *command,
        env=environment | {"SLUICE_UPSTREAM_URL": demo.url + "/v1"},
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    url = f"http://127.0.0.1:{port}"
    try:
        await asyncio.to_thread(wait_until, lambda: listens(port), "the worker")
        answers = await asyncio.gather(*(status_of(url) for _ in range(100)))
        assert set(answers) == {200}
    finally:
        process.kill()
        await process.wait()


def listens(port: int) -> bool:
    """Whether a worker is there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


async def status_of(url: str) -> int:
    """The status of one stream of its own connection, read to its end."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with (
        aiohttp.ClientSession(timeout=timeout) as http,
        http.post(url + CHAT, json=chat("demo;ttft=0;tokens=20;rate=40")) as answer,
    ):
        assert b"[DONE]" in await answer.read()
        return answer.status
