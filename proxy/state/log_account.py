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
        self._ended: list[tuple[StreamLog, int]] = []

    def ended(self, log: StreamLog, ttl: int) -> None:
        """A log grows no more, and expires in so many milliseconds."""
        self._ended.append((log, ttl))

    async def report(self, running: Iterable[StreamLog], ttl: int) -> None:
        """Count what has come since the last report."""
        ended, self._ended = self._ended, []
        logs = [*((log, ttl) for log in running), *ended]
        grown = [(log, left, log.kept_bytes - log.reported_bytes) for log, left in logs]
        arguments: list[Argument] = [self._most_bytes]
        for log, left, more in grown:
            arguments += [log.id, more, left]
        if not grown:
            return
        try:
            dropped = await self._store.run(_ACCOUNT, _KEYS, arguments)
            for log, _, more in grown:
                log.reported_bytes += more
            for stream_id in dropped:
                await self._store.run(_TRIM, keys_of(stream_id.decode()))
        except StoreUnavailable:
            self._ended += ended
