"""Makes a worker's parts from the settings and takes them down again, in order."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from proxy.capacity import LARGEST_BODIES
from proxy.edge.admission import Admission, share
from proxy.edge.auth import Keys
from proxy.edge.body_memory import BodyMemory
from proxy.edge.body_parser import BodyParser
from proxy.edge.client import TrustedProxies
from proxy.edge.key_report import KeyReport
from proxy.edge.limiter import Limiter
from proxy.edge.resumables import open_resumables
from proxy.edge.telemetry import Telemetry
from proxy.edge.worker_state import WorkerState
from proxy.relay.timeouts import Timeouts
from proxy.settings import Settings
from proxy.upstream.upstreams import Upstreams


@asynccontextmanager
async def open_worker_state(
    settings: Settings, *, index: int = 0, workers: int = 1, behind_nginx: bool = False
) -> AsyncIterator[WorkerState]:
    """The state of worker `index` of so many, which share the cap and the line before it."""
    admission = Admission(
        share(settings.max_streams, workers, index),
        share(settings.queue_size, workers, index),
        settings.queue_timeout_seconds,
    )
    timeouts = Timeouts.of(settings)
    # One that nobody has sized, as in tests, has what it would have alone.
    budget = settings.body_memory_bytes // workers or LARGEST_BODIES // workers
    async with (
        AsyncExitStack() as stack,
        Upstreams(settings, workers=workers, index=index) as upstreams,
        Telemetry(settings, admission, upstreams, index=index) as telemetry,
    ):
        limiter = await stack.enter_async_context(
            Limiter(
                settings,
                telemetry.keys,
                telemetry.store,
                telemetry.price,
                queue_size=share(settings.queue_size, workers, index),
            )
        )
        report = KeyReport(limiter, settings.all_keys if index == 0 else (), telemetry.keys)
        await stack.enter_async_context(report)
        resumables = await stack.enter_async_context(
            open_resumables(settings, telemetry.lost_log, index=index, workers=workers)
        )
        if resumables is not None:
            telemetry.resumable_levels = resumables.levels
        body_parser = BodyParser()
        stack.callback(body_parser.close)
        yield WorkerState(
            settings,
            admission,
            Keys(settings.all_keys),
            upstreams,
            telemetry,
            body_parser,
            behind_nginx,
            timeouts,
            BodyMemory(
                budget,
                wait_seconds=settings.queue_timeout_seconds,
                most_waiting=share(settings.queue_size, workers, index),
            ),
            limiter,
            report,
            TrustedProxies(settings.trusted_proxies),
            {own.name: timeouts.for_upstream(own) for own in settings.upstreams},
            resumables=resumables,
        )
