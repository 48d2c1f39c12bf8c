"""Clients and upstreams that want a worker's memory or its time, beside streams that run.

The light form runs with all others. The heavy one is `make burst`: its figures stand in
docs/performance.md.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.asking import CHAT
from tests.integration.faults.gap_recorder import MODEL
from tests.integration.faults.gateways import RunningGateway, Upstream
from tests.integration.faults.programs import output_of, program
from tests.integration.raw import exchange
from tests.upstream.peer import Connection, Peer, plain

MIB = 1024 * 1024
_ATTACKERS = "tests.integration.faults.greedy_clients"
_LISTENERS = "tests.integration.faults.gap_recorder"
LISTENERS = 5
TOKENS_A_SECOND = 20
AFTER_SECONDS = 1.0
LONGEST_GAP = 1.0
"""Seconds that a stream may stand still, on a machine with nothing else to do."""
LONGEST_GAP_WHEN_BUSY = 5.0
SECONDS_WHEN_BUSY = 30.0
BUDGET = 64 * MIB
"""Bytes for bodies; one more is the copy that is parsed, and one that a read joins its parts to."""
LARGEST = 32 * MIB
MARGIN = 64 * MIB
"""The interpreter of the parsing process, the buffers of sockets, and pieces that lie between."""


@dataclass
class Greed:
    """What came of it."""

    seen: dict[str, int]
    """Answers by their status."""
    gaps: list[float]
    memory: list[int]
    """Bytes of the workers and their parsing processes: before, at worst, and in the end."""

    def __str__(self) -> str:
        before, worst, after = (size // MIB for size in self.memory)
        return (
            f"{self.seen}; memory {before} MiB, {worst} at worst, {after} after; "
            f"longest gap {max(self.gaps):.2f} s"
        )


@contextmanager
def attacked(
    kind: str, upstream_url: str, quiet: Upstream, **settings: Any
) -> Iterator[RunningGateway]:
    """A gateway in front of an upstream for the greedy, and one that nobody else asks meanwhile."""
    with ExitStack() as stack:
        upstreams = [
            {
                "name": "attacked",
                "url": upstream_url,
                "models": ["demo", "renamed"],
                "rename": {"renamed": "demo"},
            },
            {"name": "quiet", "url": f"{quiet.url}/v1", "models": [MODEL]},
        ]
        make = gateways.appliance if kind == "nginx" else gateways.worker
        given = {
            "body_memory_bytes": BUDGET,
            "body_timeout_seconds": 2,
            "queue_timeout_seconds": 2,
            "retries": 0,
            "log_level": "error",
            **settings,
        }
        yield stack.enter_context(make(quiet, upstreams=upstreams, **given))


@asynccontextmanager
async def sink() -> AsyncIterator[str]:
    """An upstream that reads what it is sent, keeps none of it, and answers; its URL."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            left = int(length[1]) if length else 0
            while left and (part := await reader.read(MIB)):
                left -= len(part)
            writer.write(plain(b"{}", fields={"Connection": "close"}))
            await writer.drain()
        finally:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0, limit=MIB) as server:
        host, port = server.sockets[0].getsockname()
        yield f"http://{host}:{port}/v1"


def held(gateway: RunningGateway) -> int:
    """Bytes of all processes but nginx: the workers, and those that parse for them."""
    sizes = gateway.memory()
    return sizes["workers"] + sizes["other"]


async def watch(
    gateway: RunningGateway, seconds: float, greedy: Callable[[], Awaitable[dict[str, int]]]
) -> Greed:
    """Have streams run while the greedy are at it, and see what both come to."""
    memory = [held(gateway)] * 3
    stop = asyncio.Event()

    async def worst() -> None:
        while not stop.is_set():
            memory[1] = max(memory[1], held(gateway))
            await asyncio.sleep(0.1)

    words = f"rate={TOKENS_A_SECOND};tokens=100000"
    listening = await program(_LISTENERS, *where(gateway), LISTENERS, seconds + 2, words)
    watching = asyncio.create_task(worst())
    await asyncio.sleep(1.0)
    seen = await greedy()
    gaps = await output_of(listening)
    stop.set()
    await watching
    await gateway.settled()
    memory[2] = await given_back(gateway, memory[0])
    return Greed(seen, [gap for _, gap in gaps], memory)


def where(gateway: RunningGateway) -> tuple[str, int]:
    """Its host and port."""
    parts = urlsplit(gateway.url)
    return str(parts.hostname), int(parts.port or 80)


async def given_back(gateway: RunningGateway, before: int) -> int:
    """What is held once it is nearly as little as before, or at last."""
    deadline = time.monotonic() + 12
    while (now := held(gateway)) > before + MARGIN // 8 and time.monotonic() < deadline:
        await asyncio.sleep(0.2)
    return now


async def attack(gateway: RunningGateway, how: str, count: int, seconds: float) -> dict[str, int]:
    """So many greedy clients; how many answers of each status they had."""
    made = await output_of(await program(_ATTACKERS, how, *where(gateway), count, seconds))
    seen: dict[str, int] = made["seen"]
    return seen


def is_bounded(made: Greed, count: int, max_growth: int, longest_gap: float) -> None:
    """Each had an answer that says what is wrong, if anything; nothing grew, nobody stood still."""
    before, worst, after = made.memory
    assert sum(made.seen.values()) == count, made
    assert set(made.seen) <= {"200", "408", "413", "502", "503"}, made
    assert worst - before < max_growth, made
    assert after - before < MARGIN, made
    assert max(made.gaps) < longest_gap, made


ATTACKS = ["unending", "drip", "thousandfold", "lists"]
MOST = BUDGET + 3 * LARGEST + MARGIN
"""Beside the budget: the copy that is parsed, and two joins of parts that are not yet let go."""


@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_a_few_greedy_clients(kind: str, upstream: Upstream) -> None:
    """Two of each kind at once, and streams run on."""
    async with sink() as url:
        with attacked(kind, url, upstream) as gateway:

            async def greedy() -> dict[str, int]:
                made = await asyncio.gather(
                    *(attack(gateway, how, 2, SECONDS_WHEN_BUSY) for how in ATTACKS)
                )
                return sum(map(Counter, made), Counter())

            made = await watch(gateway, 5.0, greedy)
    is_bounded(made, 2 * len(ATTACKS), MOST, LONGEST_GAP_WHEN_BUSY)


@pytest.mark.burst
@pytest.mark.parametrize("kind", ["worker", "nginx"])
@pytest.mark.parametrize("how", ATTACKS)
async def test_a_hundred_greedy_clients(kind: str, how: str, upstream: Upstream) -> None:
    """A hundred at once."""
    async with sink() as url:
        with attacked(kind, url, upstream) as gateway:
            made = await watch(gateway, 20.0, lambda: attack(gateway, how, 100, 40.0))
    print(f"\n{how}, {kind}: {made}")  # noqa: T201 the figures are what this is run for
    is_bounded(made, 100, MOST, LONGEST_GAP)


async def interim_answers(connection: Connection) -> None:
    """A thousand of them in one write, and no answer."""
    await connection.request()
    await connection.say(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" * 1000)
    await connection.left()


async def by_upstreams(kind: str, count: int, quiet: Upstream) -> Greed:
    """So many connections of an upstream that has nothing but interim answers."""
    async with Peer(interim_answers) as peer:
        with attacked(kind, f"{peer.url}/v1", quiet) as gateway:

            async def greedy() -> dict[str, int]:
                asked = (exchange(gateway.url, CHAT.request()) for _ in range(count))
                answers = await asyncio.wait_for(asyncio.gather(*asked), 30)
                return Counter(str(answer.status) for answer in answers)

            return await watch(gateway, 1.0, greedy)


@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_interim_answers_without_end(kind: str, upstream: Upstream) -> None:
    """From fifty connections at once: 502 each, and nothing is kept of them."""
    made = await by_upstreams(kind, 50, upstream)
    assert set(made.seen) <= {"502", "503"}, made
    is_bounded(made, 50, MARGIN, LONGEST_GAP_WHEN_BUSY)
