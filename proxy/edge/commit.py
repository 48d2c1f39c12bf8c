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
from proxy.relay.watch import PING
from proxy.upstream.answer import Answer


async def commit_if_silent(
    calling: asyncio.Task[Answer], visit: Visit, *, after: float, ping: float
) -> None:
    """Wait until the upstream has answered or failed, and commit if that takes too long.

    `after` and `ping` are seconds; `ping` 0 sends none. The visit has its reply and its client
    if the 200 went out.
    """
    done, _ = await asyncio.wait({calling}, timeout=after)
    if done:
        return
    visit.reply = Reply(headers=stream_headers({}, visit.exchange.request_id))
    visit.client = client = await visit.reply.open(visit.request)
    visit.exchange.committed_at = time.monotonic()
    visit.exchange.status = visit.reply.status
    while not done:
        if ping:
            client.write(PING, time.monotonic())
        done, _ = await asyncio.wait({calling}, timeout=ping or None)
