"""The commit: until when a request may still fail with a true status, and what follows it.

Status and headers wait for the upstream's first bytes. Only when it stays silent for
`SLUICE_COMMIT_AFTER_SECONDS` does a 200 go out before them, so that nothing on the way takes the
silence for a dead connection; pings follow until the answer comes.
"""

from __future__ import annotations

import asyncio
import time

from proxy.edge.reply import Reply, stream_headers
from proxy.edge.visit import Visit
from proxy.relay.client_writer import ClientWriter
from proxy.relay.pings import ping_of


class CommitIfSilent:
    """A context in which an upstream is waited for; if that takes too long, the 200 goes out.

    After it the visit has its reply and its client if that happened. An upstream that answers in
    time, as nearly all do, costs no more than a timer that is never due.
    """

    __slots__ = ("_committing", "_ping", "_timer", "_visit")

    def __init__(self, visit: Visit, *, after: float, ping: float) -> None:
        """`after` and `ping` are seconds; `ping` 0 sends none."""
        self._visit = visit
        self._ping = ping
        self._committing: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(after, self._commit)

    async def __aenter__(self) -> None:
        """The timer runs since it was made."""

    async def __aexit__(self, *_error: object) -> None:
        if self._committing is not None:
            # A head that is half out cannot be taken back.
            await self._committing
        self._timer.cancel()

    def _commit(self) -> None:
        self._committing = asyncio.create_task(self._send_head())

    async def _send_head(self) -> None:
        headers = stream_headers({}, self._visit.record)
        client = await self._visit.commit(Reply(headers=headers))
        if self._ping:
            self._send_ping(client)

    def _send_ping(self, client: ClientWriter) -> None:
        client.write(ping_of(self._visit.record.family), time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(self._ping, self._send_ping, client)
