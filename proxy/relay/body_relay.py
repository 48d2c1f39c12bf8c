"""Relays one response's body to the client, and decides how it ends."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Protocol

from proxy.errors import EndedEarly, FirstTokenTimeout, IdleTimeout, SlowClient, SluiceError
from proxy.record import EndedBy
from proxy.relay.body_filter import BodyFilter
from proxy.relay.callback_relay import CallbackRelay, Source
from proxy.relay.client_writer import ClientWriter
from proxy.relay.watchdog import StreamWatchdog


class UpstreamBody(Protocol):
    """The body of the upstream's response."""

    @property
    def source(self) -> Source | None:
        """The body as a source of callbacks, if it supports that."""

    async def read(self) -> bytes:
        """Return the next bytes; empty at a clean end. Raises `UpstreamCut`."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a relayed body ended."""

    ended_by: EndedBy
    whole: bool
    """Whether the response may end cleanly; otherwise its connection is closed as truncated.

    An error event is not enough: readers that skip unknown events would see a complete response.
    """
    error: str = ""
    """The code of the error, if one ended it."""
    blames_upstream: bool = False
    """Whether the upstream failed although its connection did not."""


async def relay_body(
    body: UpstreamBody,
    body_filter: BodyFilter,
    client: ClientWriter,
    watchdog: StreamWatchdog,
    request_id: str,
) -> Outcome:
    """Relay until either side ends. Raises only `CancelledError`."""
    try:
        async with watchdog:
            await _move(body, body_filter, client)
            ended_by, owed = body_filter.close(time.monotonic())
        if ended_by is EndedBy.UPSTREAM_CUT:
            raise EndedEarly("The upstream closed the stream without its end marker.")
        client.write(owed, time.monotonic())
    except SluiceError as error:
        return _broken(error, body_filter, client, request_id)
    return Outcome(ended_by, whole=True)


async def _move(body: UpstreamBody, body_filter: BodyFilter, client: ClientWriter) -> None:
    if client.is_congested():
        await client.drain()
    if body.source is not None:
        await CallbackRelay(body.source, body_filter, client).run()
        return
    while chunk := await body.read():
        now = time.monotonic()
        client.write(body_filter.feed(chunk, now), now)
        client.began_at = client.began_at or time.monotonic()
        if client.is_congested():
            await client.drain()


def _broken(
    error: SluiceError, body_filter: BodyFilter, client: ClientWriter, request_id: str
) -> Outcome:
    if body_filter.end is not None:
        # The end marker was relayed, so a later failure does not matter to the client. An
        # upstream's own error event keeps the outcome that the upstream gave it.
        return Outcome(body_filter.end, whole=body_filter.end is EndedBy.COMPLETE)
    fault = error.fault
    if isinstance(error, SlowClient):
        return Outcome(fault.ended_by, whole=False, error=fault.code)
    blames = isinstance(error, EndedEarly | FirstTokenTimeout | IdleTimeout)
    client.write(body_filter.cut(error, request_id) or b"", time.monotonic())
    return Outcome(fault.ended_by, whole=False, error=fault.code, blames_upstream=blames)
