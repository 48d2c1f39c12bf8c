"""A worker's resumable streams: which requests are recorded, and how many readers there are."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from proxy.edge.admission import share
from proxy.edge.auth import presented
from proxy.edge.orphan_end import orphan_end
from proxy.edge.recording import Recording
from proxy.edge.stream_progress import LengthHistory
from proxy.errors import SluiceError
from proxy.state.load_backend import load_backend
from proxy.state.store import LANES, Store
from proxy.state.stream_logs import StreamLogs
from proxy.store_address import OFF, parse

if TYPE_CHECKING:
    from proxy.edge.auth import Keys
    from proxy.edge.request_context import RequestContext
    from proxy.key_settings import KeySettings
    from proxy.settings import Settings

RESUMABLE = "Sluice-Resumable"
_PREFER = "Prefer"
_RESPOND_ASYNC = re.compile(r"(?:^|[,;])\s*respond-async\s*(?:$|[,;=])", re.IGNORECASE)
_YES = frozenset({"true", "1", "yes"})
_NO = frozenset({"false", "0", "no"})
_FLUSH_SECONDS = 2.0
_CALL_SECONDS = 1.0
_FIRST_CONNECTION_SECONDS = 1.0
_DIGEST_CHARACTERS = 32


class ResumableStreams:
    """The worker's logs and their limits; None in a worker without a store."""

    def __init__(self, settings: Settings, logs: StreamLogs, readers: int) -> None:
        self.logs = logs
        self.history = LengthHistory()
        self.max_readers = readers
        self.readers = 0
        """The number of readers in this worker."""
        self.all_read = asyncio.Event()
        """Set while there are no readers."""
        self.all_read.set()
        self.closing = False
        """Whether readers are being disconnected, to reconnect to another worker."""
        self.grace_seconds = None if settings.on_client_left == "drain" else settings.grace_seconds
        """None: a stream without a reader runs to its end."""
        self._all = settings.resumable == "all"
        self._some_keys = any(key.resumable for key in settings.all_keys)
        self.lost: Callable[[str], None] = lambda _reason: None

    def recording_for(self, context: RequestContext, keys: Keys) -> Recording | None:
        """Return a recording if the request asks for a resumable stream, or its settings do."""
        request = context.request
        if request.method != hdrs.METH_POST or not context.route.understood:
            return None
        headers = request.headers
        detached = any(map(_RESPOND_ASYNC.search, headers.getall(_PREFER, ())))
        choice = headers.get(RESUMABLE, "").strip().lower()
        if choice in _NO and not detached:
            return None
        if (
            detached
            or choice in _YES
            or self._all
            or (self._some_keys and _key_resumes(request, keys))
        ):
            return Recording(self, context, detached=detached)
        return None

    def levels(self) -> tuple[int, int]:
        """Return the numbers of streams being recorded and of readers."""
        return len(self.logs.writer.running), self.readers

    async def close(self) -> None:
        """Write all ended logs, then disconnect every reader."""
        await self.logs.writer.flushed(_FLUSH_SECONDS)
        self.closing = True
        await self.all_read.wait()

    def begin_reading(self) -> bool:
        """Count one more reader. Return False if the limit is reached."""
        if self.readers >= self.max_readers:
            return False
        self.readers += 1
        self.all_read.clear()
        return True

    def end_reading(self) -> None:
        """Count one reader less."""
        self.readers -= 1
        if not self.readers:
            self.all_read.set()


def owner_of(request: web.Request, key: KeySettings | None) -> str:
    """Return the owner of a request's logs: its key or, if none are configured, its credential."""
    if key is not None:
        return f"key:{key.name}"
    own = presented(request.headers, request.query)
    if not own:
        return "anybody"
    digest = hashlib.sha256(own.encode("utf-8", "surrogateescape")).hexdigest()
    return f"own:{digest[:_DIGEST_CHARACTERS]}"


def _key_resumes(request: web.Request, keys: Keys) -> bool:
    try:
        key = keys.key_of(request.headers, request.query)
    except SluiceError:
        return False  # The request will be refused.
    return key is not None and key.resumable


@asynccontextmanager
async def open_resumable_streams(
    settings: Settings,
    lost: Callable[[str], None],
    *,
    index: int,
    workers: int,
) -> AsyncIterator[ResumableStreams | None]:
    """Open the resumable streams of a worker; None if they are off or have no store."""
    url = "" if settings.store_url is None else settings.store_url.get_secret_value()
    if settings.resumable == "off" or url in {"", OFF}:
        yield None
        return
    address = parse(url)
    # Requests wait only for the creation of a log; other calls may take longer.
    call_timeout = max(settings.store_timeout_seconds, _CALL_SECONDS)
    store = Store(await load_backend(address, LANES), call_timeout)
    async with store:
        await store.ready(_FIRST_CONNECTION_SECONDS)
        logs = StreamLogs(
            store,
            await load_backend(address, 1),
            ttl_seconds=settings.resume_ttl_seconds,
            open_seconds=settings.store_timeout_seconds,
            stream_bytes=settings.resume_stream_bytes,
            total_bytes=settings.resume_total_bytes,
            readers_per_stream=settings.resume_readers_per_stream,
            lost=lost,
            make_end=orphan_end,
        )
        async with logs:
            readers = max(1, share(settings.resume_readers, workers, index))
            resumables = ResumableStreams(settings, logs, readers)
            resumables.lost = lost
            yield resumables
