"""The state that all requests of one worker share, and how it is opened and closed."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from aiohttp import web

from proxy.edge.admission import Admission, share
from proxy.edge.auth import Keys
from proxy.edge.body_memory import BodyMemory
from proxy.edge.body_parser import BodyParser
from proxy.edge.key_report import KeyReport
from proxy.edge.limiter import Limiter
from proxy.edge.request_context import RequestContext
from proxy.edge.request_head import authority
from proxy.edge.resumable_streams import ResumableStreams, open_resumable_streams
from proxy.edge.telemetry import Telemetry
from proxy.edge.trusted_proxies import Client, TrustedProxies
from proxy.errors import SluiceError
from proxy.relay.event_stream import EventStream
from proxy.relay.timeouts import Timeouts
from proxy.relay.watchdog import StreamWatchdog
from proxy.settings import Settings
from proxy.state.log_writer import LOSSES
from proxy.upstream.upstreams import Upstreams
from proxy.worker_sizing import LARGEST_BODIES

PEER, SCHEME = "X-Sluice-Peer", "X-Sluice-Scheme"
"""The headers in which nginx passes its client's address and scheme."""


class Reload(NamedTuple):
    """The latest reload of the settings: its number, and why it failed, if it did."""

    generation: int
    complaint: str | None = None


@dataclass(slots=True)
class WorkerState:
    """The settings and the stateful parts of a worker; injected, so that nothing is global."""

    settings: Settings
    admission: Admission
    keys: Keys
    upstreams: Upstreams
    telemetry: Telemetry
    body_parser: BodyParser
    behind_nginx: bool
    """Whether this machine's nginx is in front, whose `PEER` and `SCHEME` headers are trusted."""
    timeouts: Timeouts
    body_memory: BodyMemory
    limiter: Limiter
    key_report: KeyReport
    trusted_proxies: TrustedProxies = field(default_factory=lambda: TrustedProxies(()))
    upstream_timeouts: dict[str, Timeouts] = field(default_factory=dict)
    """By name, for upstreams with timeouts of their own."""
    watchdogs: set[StreamWatchdog] = field(default_factory=set)
    """The watchdogs of the running streams."""
    pending_timeouts: set[asyncio.Timeout] = field(default_factory=set)
    """The timeouts of requests that wait for an upstream's response."""
    outliving: set[asyncio.Task[web.StreamResponse]] = field(default_factory=set)
    """The tasks of requests that may outlive their client."""
    lame_duck: bool = False
    """Whether the worker reports not ready but still accepts requests."""
    resumables: ResumableStreams | None = None
    """The resumable streams; None if they are off or have no store."""
    draining: bool = False
    reload: Reload = Reload(0)  # noqa: RUF009 it is immutable
    stopped_by: SluiceError | None = None
    """The error that `cut_all` was called with, if it was."""

    @property
    def spends_key(self) -> bool:
        """Whether every client can spend the operator's key without a key of its own."""
        return self.keys.empty and self.settings.has_upstream_key

    def timeouts_for(self, upstream: str) -> Timeouts:
        """Return the timeouts for responses of this upstream."""
        return self.upstream_timeouts.get(upstream, self.timeouts)

    def start_stream(self, context: RequestContext) -> EventStream:
        """Start the filter of an event stream; its reader's tally becomes the request's."""
        record = context.record
        reader = self.telemetry.meter_stream(context)
        if context.recording is not None and (kept := context.recording.stream(record, reader)):
            return kept
        return EventStream(record.family, reader, hides_usage=record.hides_usage)

    async def idle(self) -> None:
        """Wait until no request is relayed and no log is read."""
        await self.admission.idle()
        if self.resumables is not None:
            await self.resumables.all_read.wait()

    async def all_ended(self) -> None:
        """Wait until all streams that were cut have ended, including their logs and readers."""
        await self.admission.idle()
        if self.resumables is not None:
            await self.resumables.close()

    def cut_all(self, error: SluiceError) -> int:
        """End every running or queued request with this error. Return their number."""
        self.stopped_by = error
        for watchdog in self.watchdogs:
            watchdog.stop(error)
        for limit in self.pending_timeouts:
            limit.reschedule(asyncio.get_running_loop().time())
        running = len(self.watchdogs) + len(self.pending_timeouts)
        waiting = self.admission.reject_all(error) + self.limiter.stream_queues.reject_all(error)
        return running + waiting

    def queue_key(self, context: RequestContext) -> str:
        """Return the key to queue the request by: its client key or, without one, its network."""
        record = context.record
        return record.client_key or network_of(record.client_address)

    def identify(self, context: RequestContext) -> None:
        """Determine the request's client, and note its address."""
        context.source = self.client_of(context.request)
        context.record.client_address = context.source.address

    def client_of(self, request: web.Request) -> Client:
        """Return the client's address, scheme and host, from trusted proxies if there are any.

        This machine's nginx connects by a unix socket, and passes its peer's address in a header.
        """
        trusted_headers: Mapping[str, str] = request.headers if self.behind_nginx else {}
        return self.trusted_proxies.client(
            trusted_headers.get(PEER, request.remote or ""),
            scheme=trusted_headers.get(SCHEME, request.scheme),
            host=authority(request),
            headers=request.headers,
            forwarded=lambda: request.forwarded,
        )


def network_of(address: str) -> str:
    """Return the address, or an IPv6 address's /64, which is one client's (RFC 6177)."""
    if ":" not in address:
        return address
    try:
        six = ipaddress.IPv6Address(address.partition("%")[0])
    except ValueError:
        return address
    if six.ipv4_mapped is not None:
        return str(six.ipv4_mapped)
    return six.exploded[:19]


WORKER_STATE = web.AppKey("worker_state", WorkerState)


@asynccontextmanager
async def open_worker_state(
    settings: Settings, *, index: int = 0, workers: int = 1, behind_nginx: bool = False
) -> AsyncIterator[WorkerState]:
    """Open the state of worker `index`; the workers share the cap and the queue."""
    admission = Admission(
        share(settings.max_streams, workers, index),
        share(settings.queue_size, workers, index),
        settings.queue_timeout_seconds,
    )
    timeouts = Timeouts.of(settings)
    # Without sizing, as in tests, use the default.
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
            open_resumable_streams(settings, telemetry.lost_log, index=index, workers=workers)
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
