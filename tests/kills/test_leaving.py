"""Clients that ask and leave at once, while a worker is killed or stands still: all are counted."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.integration.faults.gateways import fetch
from tests.integration.faults.programs import output_of, program
from tests.integration.faults.test_asking_and_leaving import (
    HOST,
    attacked_appliance,
    outcomes_at_rest,
)

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.integration.faults.gateways import RunningGateway, Upstream

pytestmark = [pytest.mark.kills, pytest.mark.timeout(120)]
SECONDS = 4.0
BEFORE_SECONDS = 1.0
PAUSE_SECONDS = 2.0
"""Shorter than it takes until a worker that stands still is killed."""


async def kill_one(gateway: RunningGateway) -> None:
    """The first worker."""
    os.kill(pid_of(gateway), signal.SIGKILL)


async def pause_one(gateway: RunningGateway) -> None:
    """The first worker stands still for a while."""
    pid = pid_of(gateway)
    os.kill(pid, signal.SIGSTOP)
    await asyncio.sleep(PAUSE_SECONDS)
    os.kill(pid, signal.SIGCONT)


async def freeze_one(gateway: RunningGateway) -> None:
    """The first worker stands still until it is killed."""
    os.kill(pid_of(gateway), signal.SIGSTOP)


def pid_of(gateway: RunningGateway) -> int:
    """The first worker's process id."""
    return int(fetch(f"{gateway.admin_url}/status")["workers"][0]["pid"])


@pytest.mark.parametrize("fault", [kill_one, pause_one, freeze_one])
async def test_all_who_left_are_counted_once(
    upstream: Upstream, fault: Callable[[RunningGateway], Awaitable[None]]
) -> None:
    """By the worker, by the next one that took over its queue, or by the supervisor."""
    async with asyncio.timeout(100):
        with attacked_appliance(upstream) as (gateway, _):
            port = urlsplit(gateway.url).port or 0
            attack = await program(
                "tests.integration.faults.leaving_clients", "close", HOST, port, SECONDS
            )
            await asyncio.sleep(BEFORE_SECONDS)
            await fault(gateway)
            sent = await output_of(attack)
            await gateway.settled()
            outcomes = await outcomes_at_rest(gateway)
    assert outcomes.total() == sent["requests"]
    assert outcomes["client_left", "499"] >= sent["requests"] * 0.9
