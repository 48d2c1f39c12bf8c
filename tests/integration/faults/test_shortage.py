"""A worker that runs out of descriptors or of address space, alone and behind nginx.

The limits are the kernel's own (setrlimit(2)).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import resource
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from proxy.record import Family
from tests.integration.faults import gateways
from tests.integration.faults.asking import BY_FAMILY, CHAT
from tests.integration.faults.gateways import RunningGateway, Upstream, eventually
from tests.integration.raw import Line, Whole

SPARE_BYTES = 2 * 1024 * 1024
BODY = b'{"model":"demo","stream":true,"messages":[],"x":"%s"}' % (b"x" * 6 * 1024 * 1024)
LARGE_REQUESTS = 6
CLIENTS = 160
FEW_DESCRIPTORS = 128
SILENT = 1200
DESCRIPTORS = 1024
HEAD_SECONDS = 2.0


def started(
    kind: str, upstream: Upstream, descriptors: int = 0
) -> contextlib.AbstractContextManager[RunningGateway]:
    """A gateway in which nobody waits long."""
    make = gateways.appliance if kind == "nginx" else gateways.worker
    return make(upstream, queue_timeout_seconds=1, log_format="json", descriptors=descriptors)


def worker_of(gateway: RunningGateway) -> int:
    """The process id of its one worker."""
    if gateway.name == "worker":
        return gateway.process.popen.pid
    for pid in gateway.pids():
        if b"worker\0" in Path(f"/proc/{pid}/cmdline").read_bytes():
            return pid
    raise AssertionError("there is no worker")


@contextlib.contextmanager
def limited(pid: int, what: int, limit: int) -> Iterator[None]:
    """A process has no more of it for a while."""
    before = resource.prlimit(pid, what)
    resource.prlimit(pid, what, (limit, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, what, before)


def address_space(pid: int) -> int:
    """Bytes of it that are in use."""
    pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[0])
    return pages * resource.getpagesize()


async def ask(gateway: RunningGateway, asked: bytes) -> Whole:
    """The answer, which may come before the whole request has left."""
    line = await Line.open(gateway.url)
    try:
        return await line.whole(asked)
    finally:
        line.writer.transport.abort()


async def nothing_is_left_of_it(gateway: RunningGateway, outcomes: set[str]) -> None:
    """Nothing in flight, nobody blamed, and the gateway serves as before."""
    await gateway.settled()
    ended = [entry["ended_by"] for entry in gateway.process.ended.values()]
    assert set(ended) <= outcomes, ended
    status = await asyncio.to_thread(gateways.fetch, gateway.status_url)
    seen = status["upstreams"]
    for response in seen.values() if isinstance(seen, dict) else seen:
        assert response["failures_in_a_row"] == 0, response
        assert "ejected" not in json.dumps(response), response

    async def serves() -> bool:
        # Who was told to come again later is not served before.
        answer = await ask(gateway, CHAT.request("tokens=2"))
        assert answer.status in {200, 503}, answer
        return answer.status == 200 and b"[DONE]" in answer.body

    await eventually(serves, "it does not serve as before")


@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_out_of_address_space(kind: str, upstream: Upstream) -> None:
    """503 with a time to come again, and no reset; a stream that runs ends well."""
    with started(kind, upstream) as gateway:
        # The parsing process has begun, so that memory is wanting for bodies alone.
        large = CHAT.with_body(BODY).request("tokens=1")
        assert (await ask(gateway, large)).status == 200
        async with await Line.open(gateway.url) as stream:
            assert (await stream.ask(CHAT.request("tokens=40;rate=20"))).status == 200
            pid = worker_of(gateway)
            with limited(pid, resource.RLIMIT_AS, address_space(pid) + SPARE_BYTES):
                answers = await asyncio.gather(
                    *(
                        ask(gateway, family.with_body(BODY).request("tokens=1"))
                        for family in (CHAT, BY_FAMILY[Family.MESSAGES])
                        for _ in range(LARGE_REQUESTS // 2)
                    )
                )
            assert b"[DONE]" in await stream.body()
        refused = [answer for answer in answers if answer.status != 200]
        assert refused
        for answer in refused:
            assert answer.status == 503, answer
            assert int(answer.headers["Retry-After"]) >= 1
            assert "memory" in answer.json()["error"]["message"]
        await nothing_is_left_of_it(gateway, {"complete", "shed"})


@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_out_of_descriptors(kind: str, upstream: Upstream) -> None:
    """Who cannot be served is told 503 with a time to come again; who is served, to the end."""
    asked = CHAT.request("tokens=60;rate=20")
    with started(kind, upstream, descriptors=FEW_DESCRIPTORS) as gateway:
        answers = await asyncio.gather(*(ask(gateway, asked) for _ in range(CLIENTS)))
        served = [answer for answer in answers if answer.status == 200]
        refused = [answer for answer in answers if answer.status == 503]
        assert len(served) + len(refused) == CLIENTS, {answer.status for answer in answers}
        assert served
        assert refused
        assert all(b"[DONE]" in answer.body for answer in served)
        for answer in refused:
            assert int(answer.headers["Retry-After"]) >= 1
            assert answer.json()["error"]["message"]
        await nothing_is_left_of_it(gateway, {"complete", "shed"})


async def test_silent_clients_at_a_lone_worker(upstream: Upstream) -> None:
    """1,200 that say nothing, and 1,024 descriptors: a good client is served all the same.

    As soon as the time for a head is over for those who came first.
    """
    with gateways.worker(
        upstream,
        descriptors=DESCRIPTORS,
        header_timeout_seconds=HEAD_SECONDS,
        queue_timeout_seconds=30,
    ) as gateway:
        parts = urlsplit(gateway.url)
        address = str(parts.hostname), int(parts.port or 0)
        silent = await asyncio.gather(*(asyncio.open_connection(*address) for _ in range(SILENT)))
        try:
            async with asyncio.timeout(HEAD_SECONDS + 20):
                answer = await ask(gateway, CHAT.request("tokens=2"))
            assert answer.status == 200, answer
            assert b"[DONE]" in answer.body
        finally:
            for _, writer in silent:
                writer.transport.abort()

        async def closed() -> bool:
            return gateway.descriptors() < DESCRIPTORS // 10

        await eventually(closed, "their connections are still open")
