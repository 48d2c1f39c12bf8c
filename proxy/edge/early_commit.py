"""Early commit: sends a 200 and pings while an upstream stays silent.

Normally status and headers wait for the upstream's first bytes. If the upstream is silent for
`SLUICE_COMMIT_AFTER_SECONDS`, a 200 is sent before them, so that no proxy on the way closes the
connection as idle; pings follow until the upstream answers.
"""

from __future__ import annotations

import asyncio
import time

from proxy.edge.downstream_response import DownstreamResponse, stream_headers
from proxy.edge.request_context import RequestContext
from proxy.relay.client_writer import ClientWriter
from proxy.relay.recorded_stream import ping_for


class CommitIfSilent:
    """An async context manager around the wait for an upstream; it commits after a delay.

    If it has committed, the request's context has its response and client. An upstream that answers
    in time costs no more than a timer that is cancelled.
    """

    __slots__ = ("_committing", "_context", "_ping", "_timer")

    def __init__(self, context: RequestContext, *, after: float, ping: float) -> None:
        """Take `after` and `ping` in seconds; with `ping` 0 no pings are sent."""
        self._context = context
        self._ping = ping
        self._committing: asyncio.Task[None] | None = None
        self._timer = asyncio.get_running_loop().call_later(after, self._commit)

    async def __aenter__(self) -> None:
        """Do nothing: the timer was started by the constructor."""

    async def __aexit__(self, *_error: object) -> None:
        if self._committing is not None:
            # A head that is partly sent cannot be withdrawn.
            await self._committing
        self._timer.cancel()

    def _commit(self) -> None:
        self._committing = asyncio.create_task(self._send_head())

    async def _send_head(self) -> None:
        claim = self._context.claim
        headers = stream_headers(claim.headers if claim else {}, self._context.record)
        recording = self._context.recording
        if recording is not None:
            recording.put_into(headers)
        client = await self._context.commit(DownstreamResponse(headers=headers))
        if self._ping:
            self._send_ping(client)

    def _send_ping(self, client: ClientWriter) -> None:
        recorded = self._context.recording is not None
        ping = ping_for(self._context.record.family, recorded=recorded)
        client.write(ping, time.monotonic())
        self._timer = asyncio.get_running_loop().call_later(self._ping, self._send_ping, client)
