"""Clients that ask and leave as fast as they can, and a good one beside them.

The light form runs with all others. The heavy one is `make burst`: its figures stand in
docs/performance.md.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest

from tests.fixtures.ports import free_port
from tests.integration.faults import gateways
from tests.integration.faults.asking import CHAT
from tests.integration.faults.gateways import RunningGateway, Upstream
from tests.integration.faults.programs import output_of, program
from tests.integration.raw import exchange
from tests.integration.scraping import scrape
from tests.nginx.pem import ONE

_ATTACKERS = "tests.integration.faults.leaving_clients"
HOST = "127.0.0.1"
BETWEEN_SECONDS = 0.05
AFTER_SECONDS = 1.0
REST_SECONDS = 3.0
"""Longer than nginx holds a line back, and the supervisor then takes to look at it."""
HEAVY_SECONDS, LIGHT_SECONDS = 5.0, 1.0
LONGEST_WAIT = 0.5
"""Seconds, on a machine with nothing else to do."""
LONGEST_WAIT_WHEN_BUSY = 5.0
"""Without the look at who has left it is the attack's own length and more, on an idle machine."""


@dataclass
class Attacked:
    """What the good client and the metrics say."""

    waits: list[float]
    """Of the good client: seconds until its answer was whole."""
    sent: dict[str, float]
    left: int
    """Requests that ended by `client_left`."""
    others: dict[str, int]
    """All other outcomes, with their status."""

    @property
    def longest_wait(self) -> float:
        """The good client's, in seconds."""
        return max(self.waits)


@contextmanager
def attacked_appliance(upstream: Upstream) -> Iterator[tuple[RunningGateway, int]]:
    """With a port for TLS."""
    tls_port = free_port()
    with gateways.appliance(
        upstream,
        workers=2,
        tls_port=tls_port,
        tls_certificate=ONE.certificate,
        tls_key=ONE.key,
        log_level="error",
    ) as gateway:
        yield gateway, tls_port


@pytest.fixture(scope="module")
def attacked(upstream: Upstream) -> Iterator[tuple[RunningGateway, int]]:
    """An appliance for all attacks, and its port for TLS."""
    with attacked_appliance(upstream) as running:
        yield running


async def keep_asking(
    gateway: RunningGateway, waits: list[tuple[float, float]], stop: asyncio.Event
) -> None:
    """One after the other, each on a connection of its own; when it began, and how long it took."""
    while not stop.is_set():
        began = time.monotonic()
        async with asyncio.timeout(60):
            answer = await exchange(gateway.url, CHAT.request("tokens=2"))
        assert answer.status == 200, answer
        assert b"[DONE]" in answer.body
        waits.append((began, time.monotonic() - began))
        await asyncio.sleep(BETWEEN_SECONDS)


async def attack(gateway: RunningGateway, tls_port: int, how: str, seconds: float) -> Attacked:
    """Let them attack beside a good client, and look at the counters when all is over."""
    port = tls_port if how == "reset" else int(urlsplit(gateway.url).port or 0)
    waits: list[tuple[float, float]] = []
    stop = asyncio.Event()
    earlier = await outcomes_of(gateway)
    good = asyncio.create_task(keep_asking(gateway, waits, stop))
    while not waits and not good.done():
        await asyncio.sleep(0.01)
    sent = await output_of(await program(_ATTACKERS, how, HOST, port, seconds))
    while not good.done() and waits[-1][0] < sent["ended"] + AFTER_SECONDS:
        await asyncio.sleep(0.01)
    stop.set()
    await good
    await gateway.settled()
    outcomes = await outcomes_at_rest(gateway) - earlier
    # With 499, or the status that had already been sent.
    left = sum(times for (ended_by, _), times in outcomes.items() if ended_by == "client_left")
    others = {
        f"{ended_by} {status}": times
        for (ended_by, status), times in outcomes.items()
        if ended_by != "client_left"
    }
    return Attacked([wait for _, wait in waits], sent, left, others)


async def outcomes_at_rest(gateway: RunningGateway) -> Counter[tuple[str, str]]:
    """How requests ended, with their status, once no more are counted.

    nginx holds its lines back, and the supervisor waits for what a worker says of them.
    """
    outcomes, since = await outcomes_of(gateway), time.monotonic()
    deadline = since + 60
    while time.monotonic() < min(since + REST_SECONDS, deadline):
        await asyncio.sleep(0.25)
        before, outcomes = outcomes, await outcomes_of(gateway)
        if outcomes != before:
            since = time.monotonic()
    return outcomes


async def outcomes_of(gateway: RunningGateway) -> Counter[tuple[str, str]]:
    """How requests ended, with their status, as it is counted now."""
    outcomes = Counter[tuple[str, str]]()
    for labels, value in (await scrape(gateway.admin_url)).by("sluice_requests_total"):
        outcomes[labels["ended_by"], labels["status"]] += round(value)
    return outcomes


def all_are_counted(made: Attacked) -> None:
    """Each that nginx has taken is one that left, and nothing else has happened.

    A connection that it ends has its word for which those are (GOAWAY).
    """
    assert made.sent.get("refused", 0) == 0
    assert made.sent.get("ended without a word", 0) == 0, made.sent
    assert made.left == made.sent["requests"] - made.sent.get("never taken", 0), made
    assert made.left > 0
    assert made.others == {"complete 200": len(made.waits)}, made.others


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_moments_attack(attacked: tuple[RunningGateway, int], how: str) -> None:
    """A good client is served during and after it, and every request is counted."""
    made = await attack(*attacked, how, LIGHT_SECONDS)
    all_are_counted(made)
    assert made.longest_wait < LONGEST_WAIT_WHEN_BUSY


@pytest.mark.burst
@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_long_attack(attacked: tuple[RunningGateway, int], how: str) -> None:
    """A good client hardly notices it, neither during nor after it."""
    made = await attack(*attacked, how, HEAVY_SECONDS)
    print(  # noqa: T201 the figures are what this is run for
        f"\n{how}: {made.sent['requests']} requests on {made.sent['connections']} connections, "
        f"{made.sent.get('never taken', 0)} of them never taken, "
        f"{made.left} counted as left; a good client waited {made.longest_wait:.2f} s at most, "
        f"{sorted(made.waits)[len(made.waits) // 2]:.3f} s in the middle of {len(made.waits)}"
    )
    all_are_counted(made)
    assert made.longest_wait < LONGEST_WAIT
