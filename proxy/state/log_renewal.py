"""The producer's renewal of its logs: extends their TTL, writes their headers, reads their flags.

The flags say whether a log has readers and whether its stream shall stop.
"""

from __future__ import annotations

import time
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol

from proxy.state import script
from proxy.state.error_map import StoreUnavailable
from proxy.state.log_unconfirmed import FORGOTTEN

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Sequence

    from proxy.state.produced_log import ProducedLog
    from proxy.state.store import Argument, Store

_RENEW = script.load("log_renew", "log")

Header = dict[str, str | bytes]


class Losing(Protocol):
    """The writer of the logs."""

    def lose(self, log: ProducedLog, reason: str) -> None:
        """Give a log up."""


def renew(
    store: Store, writer: Losing, groups: Iterable[Sequence[ProducedLog]], ttl_milliseconds: int
) -> None:
    """Renew all logs, each group with one script call; does not wait for the answers."""
    for logs in groups:
        arguments: list[Argument] = [ttl_milliseconds]
        headers: list[Header] = []
        for log in logs:
            fields = log.progress() if log.progress else {}
            headers.append(log.header)
            if log.header:
                fields = {**log.header, **fields}
                log.header = {}
            arguments.append(len(fields))
            arguments += chain.from_iterable(fields.items())
        keys = [key for log in logs for key in log.keys]
        try:
            answer = store.send(_RENEW, keys, arguments)
        except StoreUnavailable:
            _put_back(logs, headers)
            return
        answer.add_done_callback(partial(_renewed, writer, logs, headers))


def _renewed(
    writer: Losing,
    logs: Sequence[ProducedLog],
    headers: Sequence[Header],
    done: asyncio.Future[Any],
) -> None:
    if done.cancelled() or done.exception() is not None:
        _put_back(logs, headers)
        return
    for log, (exists, stop, readers) in zip(logs, done.result(), strict=True):
        if log.ended.is_set():
            continue
        if not exists:
            writer.lose(log, FORGOTTEN)
            continue
        if readers:
            log.last_read_at = time.monotonic()
        if stop and log.stopped is not None:
            stopped, log.stopped = log.stopped, None
            stopped()


def _put_back(logs: Sequence[ProducedLog], headers: Sequence[Header]) -> None:
    """Write header fields that the store may not have received again with the next renewal."""
    for log, header in zip(logs, headers, strict=True):
        log.header = {**header, **log.header}
