"""Active health checks of the upstreams with a `probe_path`."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from proxy.errors import SluiceError
from proxy.record import Family, RequestRecord
from proxy.upstream.call import Call
from proxy.upstream.health import HealthEvent, HealthState

if TYPE_CHECKING:
    from proxy.upstream.pool import Member, Pool
    from proxy.upstream.targets import Target
    from proxy.upstream.transport import Transport

_LONGEST_PROBE_SECONDS = 10.0


class HealthChecks:
    """One task per upstream with a probe path. `interval` is in seconds."""

    def __init__(self, pool: Pool, transport: Transport, interval: float) -> None:
        self._pool = pool
        self._transport = transport
        self._interval = interval
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Start probing."""
        probed = (member for member in self._pool.members() if member.target.probe_path)
        self._tasks = [asyncio.create_task(self._keep_probing(member)) for member in probed]

    async def stop(self) -> None:
        """Cancel all probes."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_probing(self, member: Member) -> None:
        while True:
            # Jitter: the workers start together.
            await asyncio.sleep(self._interval * random.uniform(0.75, 1.25))  # noqa: S311 no secret
            await self.probe(member)

    async def probe(self, member: Member) -> None:
        """Probe once, unless the upstream's ejection has not expired."""
        if self._pool.is_waiting(member):
            return
        if member.health.state is HealthState.EJECTED:
            self._pool.report(member, HealthEvent.CALLED)
        try:
            is_healthy = await self._answers(member.target)
        except BaseException:
            # Cancelled without an outcome: the next probe may try.
            self._pool.report(member, HealthEvent.ABANDONED)
            raise
        if is_healthy:
            self._pool.report(member, HealthEvent.PROBED_WELL)
        else:
            self._pool.report(member, HealthEvent.PROBED_BADLY, "health check failed")

    async def _answers(self, target: Target) -> bool:
        """Whether the upstream answers the probe in time, without an error."""
        record = RequestRecord("", "GET", "probe", Family.UNKNOWN, time.monotonic())
        call = Call(record, target.probe_path, CIMultiDict())
        with contextlib.suppress(SluiceError, TimeoutError):
            async with asyncio.timeout(_LONGEST_PROBE_SECONDS):
                with await self._transport.send(call, target, _ignore) as response:
                    while await response.read():
                        pass
                    return response.status < 400
        return False


def _ignore() -> None:
    """Do nothing when a probe has been sent."""
