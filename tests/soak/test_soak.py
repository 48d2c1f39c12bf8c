"""Twenty minutes of mixed faults and leaving clients: nothing grows.

`make soak`; `SLUICE_SOAK_SECONDS` is for how long. The figures stand in docs/performance.md.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, eventually
from tests.integration.faults.programs import output_of, program

SECONDS = float(os.environ.get("SLUICE_SOAK_SECONDS", "1200"))
SETTLING_SECONDS = min(60.0, SECONDS / 4)
"""In the first minute pools, caches and label sets fill."""
CLIENTS = 60
SEED = 20
LOOK_SECONDS = 2.0
MIB = 1024 * 1024


@pytest.fixture
def gateway() -> Iterator[RunningGateway]:
    """The appliance with two workers and short clocks, so that hanging upstreams do not pile up."""
    with ExitStack() as stack:
        upstream = stack.enter_context(gateways.upstream())
        yield stack.enter_context(
            gateways.appliance(
                upstream,
                workers=2,
                retries=0,
                eject_after_failures=1000,
                eject_failure_rate=1,
                first_token_timeout_seconds=6.0,
                idle_timeout_seconds=4.0,
                slow_client_timeout_seconds=60,
                log_level="error",
            )
        )


class Watch:
    """What the gateway's processes hold, looked at again and again."""

    def __init__(self, gateway: RunningGateway) -> None:
        self._gateway = gateway
        self._began = time.monotonic()
        self.looks: list[tuple[float, dict[str, int], int]] = []
        """Seconds since the beginning, bytes by kind of process, descriptors."""

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            memory = await asyncio.to_thread(self._gateway.memory)
            descriptors = self._gateway.descriptors()
            self.looks.append((time.monotonic() - self._began, memory, descriptors))
            await asyncio.sleep(LOOK_SECONDS)

    def between(self, begin: float, end: float) -> dict[str, float]:
        """Medians of a stretch of time: MiB by kind of process, and descriptors."""
        looks = [look for look in self.looks if begin <= look[0] < end]
        middle = {
            kind: statistics.median(memory[kind] for _, memory, _ in looks) / MIB
            for kind in ("workers", "nginx", "other")
        }
        return {**middle, "descriptors": statistics.median(held for *_, held in looks)}


@pytest.mark.soak
@pytest.mark.timeout(SECONDS + 120)
async def test_many_minutes_of_everything(gateway: RunningGateway) -> None:
    """After the first minute memory and descriptors are flat; in the end nothing is held.

    The tenth is for the allocators: what the workers have in use does not grow at all, but pieces
    of a megabyte come and go between the small ones.
    """
    quiet = gateway.descriptors()

    async def only_what_is_kept() -> bool:
        return gateway.descriptors() <= quiet + 4

    watch = Watch(gateway)
    watching = asyncio.create_task(watch.run())
    coming = await program("tests.soak.mixed_clients", gateway.url, SECONDS, CLIENTS, SEED)
    # They fail if one of them sees what it must not see.
    seen: dict[str, int] = await output_of(coming)
    watching.cancel()
    stretch = (SECONDS - SETTLING_SECONDS) / 4
    first, *middle, last = (
        watch.between(begin, begin + stretch)
        for begin in (SETTLING_SECONDS + part * stretch for part in range(4))
    )
    print(f"\n{SECONDS:g} s, {sum(seen.values())} requests: {seen}")  # noqa: T201 its figures
    for name, part in (("first", first), *(("", quarter) for quarter in middle), ("last", last)):
        figures = ", ".join(f"{kind} {value:.1f}" for kind, value in part.items())
        print(f"{name:>6} quarter after the first minute: {figures}")  # noqa: T201 as above
    for kind in ("workers", "nginx", "other"):
        assert last[kind] <= first[kind] * 1.1, kind
    assert last["descriptors"] <= first["descriptors"] * 1.1
    await gateway.settled()
    await eventually(only_what_is_kept, f"more is open than {quiet} and a few", seconds=75)
