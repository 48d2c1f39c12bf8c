"""Asks upstreams that have a `probe_path` how they are, at their own pace."""

from __future__ import annotations

import asyncio
import contextlib
import random
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from proxy.errors import SluiceError
from proxy.upstream.call import Call
from proxy.upstream.health import HealthEvent, HealthState

if TYPE_CHECKING:
    from proxy.upstream.pool import Member, Pool
    from proxy.upstream.targets import Target
    from proxy.upstream.transport import Transport

_LONGEST_PROBE_SECONDS = 10.0


class HealthChecks:
    """One task for each upstream with a probe path. `interval` is in seconds."""

    def __init__(self, pool: Pool, transport: Transport, interval: float) -> None:
        self._pool = pool
        self._transport = transport
        self._interval = interval
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to probe."""
        probed = (one for one in self._pool.members() if one.target.probe_path)
        self._tasks = [asyncio.create_task(self._keep_probing(one)) for one in probed]

    async def stop(self) -> None:
        """Stop, wherever the probes are."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_probing(self, member: Member) -> None:
        while True:
            # Workers start together; their probes need not arrive together.
            await asyncio.sleep(self._interval * random.uniform(0.75, 1.25))  # noqa: S311 no secret
            await self.probe(member)

    async def probe(self, member: Member) -> None:
        """Probe once, unless the upstream is out and its time has not come."""
        if self._pool.is_waiting(member):
            return
        if member.health.state is HealthState.EJECTED:
            self._pool.report(member, HealthEvent.CALLED)
        try:
            well = await self._is_well(member.target)
        except BaseException:
            # It was called off: without a verdict the next one may ask.
            self._pool.report(member, HealthEvent.ABANDONED)
            raise
        if well:
            self._pool.report(member, HealthEvent.PROBED_WELL)
        else:
            self._pool.report(member, HealthEvent.PROBED_BADLY, "health check failed")

    async def _is_well(self, target: Target) -> bool:
        """Whether it answers the probe in time, and not with an error."""
        call = Call("GET", target.probe_path, CIMultiDict())
        with contextlib.suppress(SluiceError, TimeoutError):
            async with asyncio.timeout(_LONGEST_PROBE_SECONDS):
                with await self._transport.send(call, target, _ignore) as response:
                    while await response.read():
                        pass
                    return response.status < 400
        return False


def _ignore() -> None:
    """A probe has no clock that starts when it has been sent."""
