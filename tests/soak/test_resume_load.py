"""A thousand resumable streams whose readers break at random: nothing lost, nothing grows.

`make resume-load`; `SLUICE_RESUME_LOAD_SECONDS` (300) is for how long, `SLUICE_RESUME_LOAD_STREAMS`
(1000) how many at once, `SLUICE_RESUME_LOAD_RATE` (1) their tokens a second each: what two cores
bear that have clients, upstream, gateway and store to carry. The figures stand in docs/resuming.md.
"""

from __future__ import annotations

import asyncio
import os
import re
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from tests.fixtures.stores import StoreServer, store_server
from tests.integration.faults import gateways
from tests.integration.faults.programs import output_of, program
from tests.integration.resume.machines import metric

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.integration.faults.gateways import RunningGateway

SECONDS = float(os.environ.get("SLUICE_RESUME_LOAD_SECONDS", "300"))
STREAMS = int(os.environ.get("SLUICE_RESUME_LOAD_STREAMS", "1000"))
RATE = float(os.environ.get("SLUICE_RESUME_LOAD_RATE", "1"))
TTL_SECONDS = 30
TOTAL_BYTES = 64 * 1024 * 1024
STORE_BYTES = 2 * TOTAL_BYTES
SETTLING_SECONDS = SECONDS / 3
"""Until then the first logs have expired, so that as many go as come."""
MIB = 1024 * 1024
SLACK_MIB = 16
"""What allocators keep between pieces that come and go."""


class Running(NamedTuple):
    """What is loaded."""

    gateway: RunningGateway
    store: StoreServer


@pytest.fixture
def running() -> Iterator[Running]:
    """The appliance with two workers on a store that can be asked how large it is."""
    with (
        gateways.upstream() as upstream,
        store_server("--maxmemory", str(STORE_BYTES)) as store,
        gateways.appliance(
            upstream,
            workers=2,
            retries=0,
            store_url=store.url,
            max_streams=2 * STREAMS,
            resume_readers=2 * STREAMS,
            resume_ttl_seconds=TTL_SECONDS,
            resume_total_bytes=TOTAL_BYTES,
            store_timeout_seconds=2,
            log_level="warning",
        ) as gateway,
    ):
        yield Running(gateway, store)
        lines = [line for line in gateway.process.lines if '"event":"access"' not in line]
        print("\n".join(lines[-20:]))  # noqa: T201 its warnings


class Look(NamedTuple):
    """How large everything is."""

    at: float
    workers: float
    nginx: float
    store: float
    """All three in MiB."""


async def watch(running: Running, looks: list[Look]) -> None:
    """Look until cancelled."""
    began = time.monotonic()
    while True:
        memory = await asyncio.to_thread(running.gateway.memory)
        reply = await asyncio.to_thread(running.store.command, "INFO", "memory")
        match = re.search(r"used_memory:(\d+)", reply)
        assert match
        sizes = (memory["workers"], memory["nginx"], int(match[1]))
        looks.append(Look(time.monotonic() - began, *(size / MIB for size in sizes)))
        await asyncio.sleep(2.0)


@pytest.mark.resume_load
@pytest.mark.timeout(SECONDS + 240)
async def test_a_thousand_streams_whose_readers_break(running: Running) -> None:
    """Every text is the upstream's; memory and store are flat once as many logs go as come."""
    looks: list[Look] = []
    watching = asyncio.create_task(watch(running, looks))
    gateway = running.gateway
    coming = await program(
        "tests.soak.resuming_clients", gateway.url, gateway.upstream.url, SECONDS, STREAMS, RATE
    )
    seen: dict[str, int] = await output_of(coming)
    watching.cancel()
    print(f"\n{STREAMS} at once, {RATE:g} tokens/s each, {SECONDS:g} s: {seen}")  # noqa: T201
    settled = [look for look in looks if SETTLING_SECONDS <= look.at <= SECONDS]
    half = len(settled) // 2
    for part in ("workers", "nginx", "store"):
        before = max(getattr(look, part) for look in settled[:half])
        after = max(getattr(look, part) for look in settled[half:])
        print(f"{part}: at most {before:.0f} MiB, then {after:.0f}")  # noqa: T201
        assert after <= before * 1.1 + SLACK_MIB, part
    assert max(look.store for look in looks) * MIB < STORE_BYTES
    assert seen["streams"] >= STREAMS
    assert seen["broken off"] > seen["streams"] / 2
    assert await asyncio.to_thread(metric, gateway, "sluice_resumable_streams_lost_total") == 0
