"""The bound on all logs together, over all workers and machines: the oldest make room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.state import script
from proxy.state.errors import StoreUnavailable
from proxy.state.log_entry import keys_of
from proxy.state.store import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.state.store import Argument, Store
    from proxy.state.stream_log import StreamLog

_ACCOUNT = script.load("log_account", "log")
_TRIM = script.load("log_trim", "log")
_KEYS = tuple(key_of("logs", part) for part in ("age", "bytes", "expires"))


class LogAccount:
    """Tells the store how much the logs of this worker have grown, and drops what is too much."""

    def __init__(self, store: Store, most_bytes: int) -> None:
        self._store = store
        self._most_bytes = most_bytes
        self._ended: list[tuple[str, int, int]] = []

    def ended(self, log: StreamLog, ttl: int) -> None:
        """A log of this worker grows no more, and expires in so many milliseconds."""
        self._ended.append((log.id, log.kept_bytes - log.reported_bytes, ttl))

    def prolonged(self, stream_id: str, ttl: int) -> None:
        """Another's log, whose producer is gone, expires in so many milliseconds."""
        self._ended.append((stream_id, 0, ttl))

    async def report(self, running: Iterable[StreamLog], ttl: int) -> None:
        """Count what has come since the last report; what runs is counted for so long from now."""
        ended, self._ended = self._ended, []
        grown = [(log, log.kept_bytes - log.reported_bytes) for log in running]
        arguments: list[Argument] = [self._most_bytes]
        for stream_id, more, left in [*((log.id, more, ttl) for log, more in grown), *ended]:
            arguments += [stream_id, more, left]
        if len(arguments) == 1:
            return
        try:
            dropped = await self._store.run(_ACCOUNT, _KEYS, arguments)
        except StoreUnavailable:
            self._ended += ended
            return
        for log, more in grown:
            log.reported_bytes += more
        for stream_id in dropped:
            await self._trim(stream_id.decode())

    async def _trim(self, stream_id: str) -> None:
        try:
            await self._store.run(_TRIM, keys_of(stream_id))
        except StoreUnavailable:
            return  # It expires by itself.
