"""More than fits: a burst of clients, and clients that do not read.

The light tests run with all others. The heavy ones are `make burst`: their figures, with the
machine, stand in docs/performance.md.
"""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.asking import CHAT
from tests.integration.faults.gap_recorder import MODEL
from tests.integration.faults.gateways import RunningGateway, Upstream
from tests.integration.faults.programs import output_of, program
from tests.integration.raw import Line

MIB = 1024 * 1024
_BURST_CLIENT = "tests.integration.faults.burst_client"
_LISTENERS = "tests.integration.faults.gap_recorder"


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    slots: int
    line: int
    wait: float
    """Seconds: the longest anybody may wait for a slot."""
    clients: int
    listeners: int
    quiet: float
    """Seconds of quiet in which the usual gap is measured."""


LIGHT = Size(slots=40, line=60, wait=8.0, clients=400, listeners=5, quiet=0.5)
HEAVY = Size(slots=500, line=2000, wait=15.0, clients=8000, listeners=40, quiet=8.0)
BURST_WORDS = "rate=4;tokens=8"
GAP_SECONDS = 0.05


StartGateway = Callable[..., RunningGateway]


@pytest.fixture(scope="module")
def attacked() -> Iterator[Upstream]:
    """The upstream for bursts; the session's own, which nobody else asks meanwhile, is quiet."""
    with gateways.upstream() as running:
        yield running


@pytest.fixture
def start_gateway(attacked: Upstream, upstream: Upstream) -> Iterator[StartGateway]:
    """Starts a gateway for one test, in front of an upstream for the burst and a quiet one."""
    with ExitStack() as stack:

        def start(kind: str, **settings: Any) -> RunningGateway:
            upstreams = [
                {"name": "attacked", "url": f"{attacked.url}/v1", "models": ["demo"]},
                {"name": "quiet", "url": f"{upstream.url}/v1", "models": [MODEL]},
            ]
            make = gateways.appliance if kind == "nginx" else gateways.worker
            return stack.enter_context(
                make(attacked, upstreams=upstreams, log_format="json", **settings)
            )

        yield start


def where(gateway: RunningGateway) -> tuple[str, int]:
    """Its host and port."""
    parts = urlsplit(gateway.url)
    return str(parts.hostname), int(parts.port or 80)


def p99(values: list[float]) -> float:
    """The value that one in a hundred is above."""
    return statistics.quantiles(values, n=100)[98]


@dataclass
class Burst:
    """What a burst did to those who came and to those who were there."""

    burst: dict[str, Any]
    gaps: list[list[float]]
    memory: list[int]
    """Bytes: before, and at its worst."""

    def gaps_within(self, began: float, ended: float) -> list[float]:
        """The gaps between tokens that came in this time."""
        return [gap for at, gap in self.gaps if began <= at <= ended]


async def burst(gateway: RunningGateway, size: Size) -> Burst:
    """Let streams run, start a burst of clients at once, and watch both."""
    host, port = where(gateway)
    seconds = size.quiet + size.wait + 25 * (size.clients > 1000)
    listening = await program(
        _LISTENERS, host, port, size.listeners, seconds, f"rate={1 / GAP_SECONDS};tokens=100000"
    )
    await asyncio.sleep(1 + size.quiet)
    memory = [sum(gateway.memory().values())] * 2
    came = await program(_BURST_CLIENT, host, port, size.clients, BURST_WORDS)
    watching = asyncio.create_task(_worst(gateway, memory))
    burst = await output_of(came)
    watching.cancel()
    gaps = await output_of(listening)
    await gateway.settled()
    return Burst(burst, gaps, memory)


async def memory_after(gateway: RunningGateway, made: Burst) -> int:
    """Bytes that are still held once they are few, or will not become so."""
    before, worst = made.memory
    enough = before + (worst - before) // 3
    for _ in range(80):
        now = sum(gateway.memory().values())
        if now < enough:
            break
        await asyncio.sleep(0.5)
    return now


async def _worst(gateway: RunningGateway, memory: list[int]) -> None:
    while True:
        memory[1] = max(memory[1], sum(gateway.memory().values()))
        await asyncio.sleep(0.25)


async def a_burst_is_served_or_refused(gateway: RunningGateway, size: Size) -> Burst:
    """What must hold for any size; gives the figures."""
    made = await burst(gateway, size)
    verdicts = made.burst["verdicts"]
    assert set(verdicts) == {"complete", "refused"}, verdicts
    assert sum(verdicts.values()) == size.clients
    assert verdicts["complete"] >= size.slots - size.listeners
    # A refusal comes within the longest wait for a slot, plus the time that the burst takes to
    # connect, and as much again for a busy machine.
    assert made.burst["answered_after"]["refused"] <= 2 * size.wait + made.burst["connected_after"]
    return made


@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_a_burst(start_gateway: StartGateway, kind: str) -> None:
    """Ten times as many as there are slots: all are let in, each is served or told when to come."""
    gateway = start_gateway(
        kind,
        max_streams=LIGHT.slots,
        queue_size=LIGHT.line,
        queue_timeout_seconds=LIGHT.wait,
    )
    await a_burst_is_served_or_refused(gateway, LIGHT)


@pytest.mark.burst
@pytest.mark.timeout(300)
async def test_sixteen_times_the_cap_at_once(start_gateway: StartGateway) -> None:
    """8,000 at once against a cap of 500; those who are being served do not notice."""
    gateway = start_gateway(
        "nginx",
        workers=2,
        max_streams=HEAVY.slots,
        queue_size=HEAVY.line,
        queue_timeout_seconds=HEAVY.wait,
        log_level="error",
    )
    made = await a_burst_is_served_or_refused(gateway, HEAVY)
    began, ended = made.burst["began"], made.burst["ended"]
    idle = p99(made.gaps_within(began - HEAVY.quiet, began))
    busy = p99(made.gaps_within(began, ended))
    sizes = (*made.memory, await memory_after(gateway, made))
    before, worst, after = (size / MIB for size in sizes)
    print(  # noqa: T201 the figures are what this is run for
        f"\n{made.burst['verdicts']} in {ended - began:.1f} s; all connected after "
        f"{made.burst['connected_after']:.2f} s; last refusal after "
        f"{made.burst['answered_after']['refused']:.2f} s\n"
        f"gap between tokens of running streams, p99: {idle * 1000:.0f} ms before, "
        f"{busy * 1000:.0f} ms during\n"
        f"memory of all processes: {before:.0f} MiB before, {worst:.0f} MiB at worst, "
        f"{after:.0f} MiB after"
    )
    assert busy < 2 * idle
    assert after < before + 0.5 * (worst - before)


async def stalled_readers(
    gateway: RunningGateway, count: int, seconds: float
) -> dict[str, list[float]]:
    """Let so many clients take nothing from a fast upstream; bytes per stream as time goes by."""
    # One stream first: what is only loaded when it is needed is not the streams' weight.
    host, port = where(gateway)
    await output_of(await program(_BURST_CLIENT, host, port, 5, "tokens=50"))
    before = gateway.memory()
    lines = []
    for number in range(count):
        lines.append(await Line.open(gateway.url, receive_buffer=4096))
        await lines[-1].ask(CHAT.request("tokens=100000000", f"stalled-{number}"))
    grown: dict[str, list[float]] = {"workers": [], "nginx": []}
    for _ in range(3):
        await asyncio.sleep(seconds / 3)
        now = gateway.memory()
        for kind, sizes in grown.items():
            sizes.append((now[kind] - before[kind]) / count)
    for line in lines:
        line.reset()
    await gateway.settled()
    return grown


MOST_PER_STREAM = 384 * 1024
"""Bytes of the gateway's own memory for one stream whose client takes nothing."""


@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_clients_that_do_not_read(start_gateway: StartGateway, kind: str) -> None:
    """What is held for each is bounded, however fast the upstream and however long it takes."""
    gateway = start_gateway(kind, slow_client_timeout_seconds=60)
    grown = await stalled_readers(gateway, 12, 0.9)
    for sizes in grown.values():
        assert max(sizes) < MOST_PER_STREAM, grown


@pytest.mark.burst
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["worker", "nginx"])
async def test_two_hundred_that_do_not_read(start_gateway: StartGateway, kind: str) -> None:
    """Memory stays flat."""
    gateway = start_gateway(kind, slow_client_timeout_seconds=300)
    grown = await stalled_readers(gateway, 200, 30.0)
    for name, sizes in grown.items():
        print(f"\n{kind}: {name}, KiB per stalled stream: {[round(size / 1024) for size in sizes]}")  # noqa: T201 as above
        assert max(sizes) < MOST_PER_STREAM
        assert sizes[-1] <= sizes[0] + 16 * 1024
