"""What all requests of one worker share: made at its start, taken down in order at its end."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from proxy.capacity import LARGEST_BODIES
from proxy.edge.admission import Admission, share
from proxy.edge.auth import Keys
from proxy.edge.body_memory import BodyMemory
from proxy.edge.body_parser import BodyParser
from proxy.edge.client import Client, TrustedProxies
from proxy.edge.key_report import KeyReport
from proxy.edge.limiter import Limiter
from proxy.edge.request_context import RequestContext
from proxy.edge.request_head import authority
from proxy.edge.resumables import Resumables, open_resumables
from proxy.edge.telemetry import Telemetry
from proxy.errors import SluiceError
from proxy.relay.stream import Stream
from proxy.relay.timeouts import Timeouts
from proxy.relay.watchdog import StreamWatchdog
from proxy.settings import Settings
from proxy.state.log_writer import LOSSES
from proxy.upstream.upstreams import Upstreams

PEER, SCHEME = "X-Sluice-Peer", "X-Sluice-Scheme"
"""Where the nginx in front says who has connected to it, and how."""


class Reload(NamedTuple):
    """What came of the latest reload of the settings; its number, and why it changed nothing."""

    generation: int
    complaint: str | None = None


@dataclass(slots=True)
class WorkerState:
    """Settings and the parts that hold state; injected, so that nothing is global."""

    settings: Settings
    admission: Admission
    keys: Keys
    upstreams: Upstreams
    telemetry: Telemetry
    body_parser: BodyParser
    behind_nginx: bool
    """Whether nginx is in front, on this machine: then its word on the client is taken."""
    timeouts: Timeouts
    body_memory: BodyMemory
    limiter: Limiter
    key_report: KeyReport
    trusted_proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(()))
    upstream_timeouts: dict[str, Timeouts] = field(default_factory=dict)
    """By upstream, where it has timeouts of its own."""
    watchdogs: set[StreamWatchdog] = field(default_factory=set)
    """The streams that run."""
    pending_timeouts: set[asyncio.Timeout] = field(default_factory=set)
    """The time limits of the requests that no upstream has answered yet."""
    outliving: set[asyncio.Task[web.StreamResponse]] = field(default_factory=set)
    """Requests that go on without a client."""
    lame_duck: bool = False
    """Whether it serves on, but clients and balancers should go elsewhere."""
    resumables: Resumables | None = None
    """The logs of streams; None where they are off or have no store."""
    draining: bool = False
    reload: Reload = Reload(0)  # noqa: RUF009 it is immutable
    stopped_by: SluiceError | None = None
    """What everything was ended with; None while nothing has been."""

    @property
    def spends_key(self) -> bool:
        """Whether anybody who can connect has the operator's key spent."""
        return self.keys.empty and self.settings.has_upstream_key

    def timeouts_for(self, upstream: str) -> Timeouts:
        """The timeouts for responses of this upstream."""
        return self.upstream_timeouts.get(upstream, self.timeouts)

    def start_stream(self, context: RequestContext) -> Stream:
        """Start what an event stream passes through; its reader's tally becomes the request's."""
        record = context.record
        reader = self.telemetry.meter_stream(context)
        if context.recording is not None and (kept := context.recording.stream(record, reader)):
            return kept
        return Stream(record.family, reader, hides_usage=record.hides_usage)

    async def idle(self) -> None:
        """Wait until nothing is relayed and nobody reads a log."""
        await self.admission.idle()
        if self.resumables is not None:
            await self.resumables.all_read.wait()

    async def told(self) -> None:
        """Wait until all that was cut has ended, in the logs and for their readers, too."""
        await self.admission.idle()
        if self.resumables is not None:
            await self.resumables.close()

    def cut_all(self, error: SluiceError) -> int:
        """End everything that runs or waits, visibly; gives its number."""
        self.stopped_by = error
        for watchdog in self.watchdogs:
            watchdog.stop(error)
        for limit in self.pending_timeouts:
            limit.reschedule(asyncio.get_running_loop().time())
        running = len(self.watchdogs) + len(self.pending_timeouts)
        waiting = self.admission.turn_away(error) + self.limiter.lines.turn_away(error)
        return running + waiting

    def waits_as(self, context: RequestContext) -> str:
        """Whose request it is to the waiting line: the key's or, where no key is, its address's."""
        record = context.record
        return record.client_key or network_of(record.client_address)

    def identify(self, context: RequestContext) -> None:
        """Write down whose request it is."""
        context.source = self.client_of(context.request)
        context.record.client_address = context.source.address

    def client_of(self, request: web.Request) -> Client:
        """Who asks, by which scheme and for which host, as far as those in front are trusted.

        nginx in front has connected by a unix socket, and tells who has connected to it.
        """
        told: Mapping[str, str] = request.headers if self.behind_nginx else {}
        return self.trusted_proxies.client(
            told.get(PEER, request.remote or ""),
            scheme=told.get(SCHEME, request.scheme),
            host=authority(request),
            headers=request.headers,
            forwarded=lambda: request.forwarded,
        )


def network_of(address: str) -> str:
    """The address, or the /64 network of one of IPv6: a single client has all of it (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        six = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if six.ipv4_mapped is not None:
        return str(six.ipv4_mapped)
    return six.exploded[:19]


WORKER_STATE = web.AppKey("gateway", WorkerState)


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
    # A worker whose memory nobody has sized, as in tests, takes what it would have alone.
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
            telemetry.keeps_logs(LOSSES)
        body_memory = BodyMemory(
            budget,
            wait_seconds=settings.queue_timeout_seconds,
            most_waiting=share(settings.queue_size, workers, index),
        )
        body_parser = BodyParser(body_memory)
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
            body_memory,
            limiter,
            report,
            TrustedProxies(settings.trusted_proxies),
            {own.name: Timeouts.of(settings, own) for own in settings.upstreams},
            resumables=resumables,
        )
