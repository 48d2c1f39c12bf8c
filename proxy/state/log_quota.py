"""The size limit on all logs together, over all workers and machines: the oldest are dropped."""

from __future__ import annotations

from typing import TYPE_CHECKING

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_entry import keys_of
from proxy.state.store import key_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.state.produced_log import ProducedLog
    from proxy.state.store import Argument, Store

_QUOTA = script.load("log_quota", "log")
_TRIM = script.load("log_trim", "log")
_KEYS = tuple(key_of("logs", part) for part in ("age", "bytes", "expires"))


class LogQuota:
    """Reports the growth of this worker's logs to the store, and trims the logs it names."""

    def __init__(self, store: Store, max_bytes: int) -> None:
        self._store = store
        self._most_bytes = max_bytes
        self._ended: list[tuple[str, int, int]] = []

    def ended(self, log: ProducedLog, ttl: int) -> None:
        """Note that a log of this worker has ended and expires in `ttl` milliseconds."""
        self._ended.append((log.id, log.kept_bytes - log.reported_bytes, ttl))

    def prolonged(self, stream_id: str, ttl: int) -> None:
        """Note that an orphaned log of another worker expires in `ttl` milliseconds."""
        self._ended.append((stream_id, 0, ttl))

    async def report(self, running: Iterable[ProducedLog], ttl: int) -> None:
        """Report growth since the last report; running logs count for `ttl` milliseconds."""
        ended, self._ended = self._ended, []
        grown = [(log, log.kept_bytes - log.reported_bytes) for log in running]
        arguments: list[Argument] = [self._most_bytes]
        for stream_id, growth, expires_in in [
            *((log.id, growth, ttl) for log, growth in grown),
            *ended,
        ]:
            arguments += [stream_id, growth, expires_in]
        if len(arguments) == 1:
            return
        try:
            dropped = await self._store.run(_QUOTA, _KEYS, arguments)
        except StoreUnavailable:
            self._ended += ended
            return
        for log, growth in grown:
            log.reported_bytes += growth
        for stream_id in dropped:
            await self._trim(stream_id.decode())

    async def _trim(self, stream_id: str) -> None:
        try:
            await self._store.run(_TRIM, keys_of(stream_id))
        except StoreUnavailable:
            return  # The events expire with the log.
