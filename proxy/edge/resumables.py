"""What a worker needs for resumable streams; there is none where they are off or have no store."""

from __future__ import annotations

import asyncio
import hashlib
import re
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from proxy.edge.admission import share
from proxy.edge.auth import presented
from proxy.edge.recording import Recording
from proxy.edge.stream_errors import ProducerLost
from proxy.edge.stream_figures import History
from proxy.errors import SluiceError
from proxy.record import Family
from proxy.relay.terminal import terminal_event
from proxy.state.load_backend import load_backend
from proxy.state.log_entry import End, Entry
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
_SEQUENCE = re.compile(rb'"sequence_number"\s*:\s*(\d{1,15})')
_RESPONSE_ID = re.compile(rb'"response"\s*:\s*\{\s*"id"\s*:\s*"([^"]{1,200})"')
_DIGEST_CHARACTERS = 32


class Resumables:
    """The logs, and who may have one."""

    def __init__(self, settings: Settings, logs: StreamLogs, readers: int) -> None:
        self.logs = logs
        self.history = History()
        self.most_readers = readers
        self.readers = 0
        """Who reads a log here at present."""
        self.all_read = asyncio.Event()
        """Set while nobody reads."""
        self.all_read.set()
        self.closing = False
        """Readers are to go elsewhere."""
        self.grace_seconds = None if settings.on_client_left == "drain" else settings.grace_seconds
        """None: a stream without a reader runs to its end."""
        self._all = settings.resumable == "all"
        self._some_keys = any(key.resumable for key in settings.all_keys)
        self.lost: Callable[[str], None] = lambda _reason: None

    def recording_for(self, context: RequestContext, keys: Keys) -> Recording | None:
        """A recording, where the request may be one of a stream that is to be resumable."""
        request = context.request
        if request.method != hdrs.METH_POST or not context.route.understood:
            return None
        headers = request.headers
        detached = any(map(_RESPOND_ASYNC.search, headers.getall(_PREFER, ())))
        said = headers.get(RESUMABLE, "").strip().lower()
        if said in _NO and not detached:
            return None
        if (
            detached
            or said in _YES
            or self._all
            or (self._some_keys and _key_resumes(request, keys))
        ):
            return Recording(self, context, detached=detached)
        return None

    def levels(self) -> tuple[int, int]:
        """How many streams are kept here at present, and how many logs are read."""
        return len(self.logs.writer.running), self.readers

    async def close(self) -> None:
        """Have all ends written, and then send every reader elsewhere."""
        await self.logs.writer.flushed(_FLUSH_SECONDS)
        self.closing = True
        await self.all_read.wait()

    def begin_reading(self) -> bool:
        """One more reader, if there may be one."""
        if self.readers >= self.most_readers:
            return False
        self.readers += 1
        self.all_read.clear()
        return True

    def end_reading(self) -> None:
        """One reader less."""
        self.readers -= 1
        if not self.readers:
            self.all_read.set()


def owner_of(request: web.Request, key: KeySettings | None) -> str:
    """Whose logs a request may read: its key's or, where no keys are configured, its own."""
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
        return False  # It is refused in a moment.
    return key is not None and key.resumable


class _LastSeen:
    """What a terminal event needs to know of a stream whose reader died with its worker."""

    family = Family.UNKNOWN
    first_token_at = None
    finishing = False

    def __init__(self, data: bytes) -> None:
        numbers = _SEQUENCE.findall(data)
        ids = _RESPONSE_ID.findall(data)
        self.sequence = int(numbers[-1]) if numbers else None
        self.response_id = ids[-1].decode("utf-8", "replace") if ids else None


def last_words(header: Mapping[str, str], last: Entry) -> tuple[bytes, End]:
    """The terminal event of a stream whose producer died, and the end of its log."""
    error = ProducerLost("The worker that relayed this stream is gone.")
    try:
        family = Family(header.get("family", ""))
    except ValueError:
        family = Family.UNKNOWN
    seen = _LastSeen(last.data)
    seen.response_id = header.get("response_id") or seen.response_id
    words = terminal_event(family, error, header.get("request_id", ""), seen)  # type: ignore[arg-type]
    fault = error.fault
    figures = {"elapsed_seconds": _age(header)}
    return words, End(str(fault.ended_by), fault.code, figures=figures, events=last.id.event + 1)


def _age(header: Mapping[str, str]) -> float:
    try:
        return round(max(0.0, time.time() - float(header.get("created", ""))), 3)
    except ValueError:
        return 0.0


@asynccontextmanager
async def open_resumables(
    settings: Settings,
    lost: Callable[[str], None],
    *,
    index: int,
    workers: int,
) -> AsyncIterator[Resumables | None]:
    """The resumable streams of worker `index` of so many; None where there can be none."""
    url = "" if settings.store_url is None else settings.store_url.get_secret_value()
    if settings.resumable == "off" or url in {"", OFF}:
        yield None
        return
    address = parse(url)
    # Only the beginning of a log is waited for by a request; for all else a busy store is there.
    patience = max(settings.store_timeout_seconds, _CALL_SECONDS)
    store = Store(await load_backend(address, LANES), patience)
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
            last_words=last_words,
        )
        async with logs:
            readers = max(1, share(settings.resume_readers, workers, index))
            resumables = Resumables(settings, logs, readers)
            resumables.lost = lost
            yield resumables
