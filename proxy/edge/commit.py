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
from proxy.errors import SluiceError
from proxy.relay.client import Client
from proxy.relay.pump import Ending
from proxy.relay.stream import Stream
from proxy.relay.watch import PING
from proxy.upstream.answer import Answer


class Early:
    """A stream whose 200 went out before the upstream had answered."""

    def __init__(self, reply: Reply, client: Client) -> None:
        self.reply = reply
        self.client = client

    def fail(self, error: SluiceError, stream: Stream, visit: Visit) -> Reply:
        """Say inside the stream what can no longer be said by a status."""
        self.client.write(stream.cut(error, visit.exchange.request_id), time.monotonic())
        visit.failed(error)
        self.reply.end(Ending(error.fault.ended_by, whole=True))
        return self.reply


async def commit_if_silent(
    calling: asyncio.Task[Answer], visit: Visit, *, after: float, ping: float
) -> Early | None:
    """Wait for the upstream's answer; None if it, or an error, came before the commit.

    `after` and `ping` are seconds; 0 switches either off.
    """
    done, _ = await asyncio.wait({calling}, timeout=after or None)
    if done:
        return None
    reply = Reply(headers=stream_headers({}, visit.exchange.request_id))
    visit.client = client = await reply.open(visit.request)
    visit.exchange.committed_at = time.monotonic()
    visit.exchange.status = reply.status
    while not done:
        if ping:
            client.write(PING, time.monotonic())
        done, _ = await asyncio.wait({calling}, timeout=ping or None)
    return Early(reply, client)
