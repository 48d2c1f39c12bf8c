"""The commit: until when a request may still fail with a true status, and what follows it.

Status and headers wait for the upstream's first bytes. Only when it stays silent for
`SLUICE_COMMIT_AFTER_SECONDS` does a 200 go out before them, so that nothing on the way takes the
silence for a dead connection; pings follow until the answer comes.
"""

from __future__ import annotations

import asyncio
import time

from proxy.edge.downstream_response import DownstreamResponse, stream_headers
from proxy.edge.request_context import RequestContext
from proxy.relay.client_writer import ClientWriter
from proxy.relay.recorded import ping_for


class CommitIfSilent:
    """A context in which an upstream is waited for; if that takes too long, the 200 goes out.

    After it the context has its response and its client if that happened. An upstream that answers
    in
    time, as nearly all do, costs no more than a timer that is never due.
    """

    __slots__ = ("_committing", "_context", "_ping", "_timer")

    def __init__(self, context: RequestContext, *, after: float, ping: float) -> None:
        """`after` and `ping` are seconds; `ping` 0 sends none."""
        self._context = context
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
