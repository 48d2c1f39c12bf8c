"""The clients' own count against the scrape: to the last token, whatever went wrong meanwhile."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import ExitStack, asynccontextmanager
from pathlib import Path

import pytest

from proxy.record import Family
from tests.integration.clients import UNASKED, Clients, Situation
from tests.integration.faults import gateways
from tests.integration.faults.asking import ASKINGS
from tests.integration.faults.gateways import RunningGateway, Upstream, eventually, fetch, kill
from tests.integration.ledger import PACED, PRICED, PRICES, counted
from tests.integration.pausable_upstream import PausableUpstream
from tests.integration.scraping import Scrape, scrape, watched
from tests.upstream.peer import Peer

WORKERS = 2
FAMILIES = tuple(asking for asking in ASKINGS if asking.family is not Family.UNKNOWN)
HELD = [*PACED, "left"]
"""Models whose answers stop in their middle until somebody lets them go on."""
CUT = "upstream_cut"
SITUATIONS = (
    Situation(PRICED, "prompt=50;cached=8;tokens=90;rate=300"),
    Situation("whole", "prompt=70;tokens=30", stream=False),
    Situation("whole", "reasoning=7;tokens=9"),
    Situation("whole", "tools=2"),
    Situation("whole", "crlf;comments=2;fields;tokens=20"),
    Situation("whole", "split;multiline;tokens=20"),
    Situation("whole", "no-usage;tokens=12"),
    Situation("cut", "cut=8", ended_by=CUT),
    Situation("cut", "cut-inside=9", ended_by=CUT),
    Situation("cut", "cut=1", ended_by=CUT),
    Situation("cut", "no-end;tokens=10", ended_by=CUT),
    Situation("cut", "cut", ended_by=CUT, stream=False),
    Situation("cut", "cut-chunk", ended_by=CUT, stream=False),
    Situation("failed", "error=7", ended_by="error_event"),
    Situation("failed", "json-error=6", ended_by="error_event"),
    Situation("refused", "status=429", status=429, answered=False),
    Situation("refused", "status=500", status=500, answered=False),
    Situation("refused", "refuse", status=502, ended_by=CUT, answered=False),
)


async def everybody(clients: Clients) -> None:
    """All of them at once, in every family; afterwards nothing runs any more."""
    first = len(clients.runs)
    staying: list[Awaitable[None]] = [
        clients.is_refused(refused_family.target) for refused_family in FAMILIES[:4]
    ]
    leaving = []
    for family in FAMILIES:
        staying += [clients.hears(family, situation) for situation in SITUATIONS]
        staying += [clients.waits(family, "paced", "tokens=20")]
        staying += [clients.waits(family, "uncounted", "tokens=20;no-usage")]
        leaving += [clients.leaves(family) for _ in range(4)]
    staying += [clients.hears_no_usage(family) for family in FAMILIES if family.family in UNASKED]
    left, _ = await asyncio.gather(asyncio.gather(*leaving), asyncio.gather(*staying))
    if clients.drains:
        await noticed(clients.gateway, {run for run, _ in left})
        for _, held in left:
            held.resume.set()
    for run in clients.runs[first:]:
        await clients.gateway.outcome(run)
    await clients.gateway.settled()


async def noticed(gateway: RunningGateway, runs: set[str]) -> None:
    """Wait until every worker knows that these clients have left.

    nginx writes a request down when it has closed its connection to the worker; whatever a worker
    answers twice after that, it answers with that end read.
    """

    async def written_down() -> bool:
        lines = [json.loads(line) for line in list(gateway.process.lines) if "request_id" in line]
        return runs <= {line["request_id"] for line in lines if line["event"] == "access"}

    await eventually(written_down, "nginx did not notice that clients left")
    for _ in range(2):
        status = await asyncio.to_thread(fetch, f"{gateway.admin_url}/status")
        assert sum("streams" in worker for worker in status["workers"]) == WORKERS


async def agreed(clients: Clients) -> Scrape:
    """A scrape that has what the clients have, neither more nor less."""
    scraped = await scrape(clients.gateway.admin_url)
    counts, truth = counted(scraped), clients.ledger.counts
    assert (counts - truth, truth - counts) == ({}, {})
    return scraped


@pytest.fixture
def prices(tmp_path: Path) -> Path:
    """The operator's prices."""
    path = tmp_path / "prices.toml"
    path.write_text(PRICES)
    return path


@asynccontextmanager
async def clients_of(upstream: Upstream, prices: Path, policy: str) -> AsyncIterator[Clients]:
    """Clients of an appliance whose metrics nobody else adds to."""
    holding = PausableUpstream()
    async with Peer(holding) as peer:
        with ExitStack() as stack:
            held = {"name": "held", "url": f"{peer.url}/v1", "models": HELD}
            demo = {"name": "demo", "url": f"{upstream.url}/v1", "priority": 1}
            starting = gateways.appliance(
                upstream,
                workers=WORKERS,
                upstreams=[held, demo],
                on_client_left=policy,
                prices=str(prices),
                retries=0,
                eject_after_failures=1000,
                eject_failure_rate=1,
                drain_seconds=1,
                log_format="json",
            )
            gateway = await asyncio.to_thread(stack.enter_context, starting)
            yield Clients(gateway, holding, drains=policy == "drain")


@pytest.mark.parametrize("policy", ["cancel", "drain"])
async def test_the_scrape_is_the_clients_truth(
    upstream: Upstream, prices: Path, policy: str
) -> None:
    """Under load, with faults, leaving clients and a worker's death: equal to the last token."""
    async with clients_of(upstream, prices, policy) as clients:
        admin_url = clients.gateway.admin_url
        async with watched(admin_url):
            await everybody(clients)
        before = await agreed(clients)
        async with watched(admin_url) as seen:
            await kill(clients.gateway, worker=1)
            await everybody(clients)
        seen[0].never_went_down_since(before)
        after = await agreed(clients)
        after.never_went_down_since(seen[-1])
        assert after.sum("sluice_process_restarts_total") == 1
