"""The fast path: bytes are relayed in the callback that receives them, without waking a task."""

from __future__ import annotations

import asyncio
from time import monotonic
from typing import Protocol

from proxy.errors import SluiceError
from proxy.relay.body_filter import BodyFilter
from proxy.relay.client_writer import ClientWriter


class Source(Protocol):
    """A body that is delivered by callbacks."""

    def flow(self, receiver: CallbackRelay) -> None:
        """Deliver everything from here on to the receiver."""

    def pause(self) -> None:
        """Pause reading."""

    def resume(self) -> None:
        """Resume reading."""

    def stop(self) -> None:
        """Stop delivering."""


class CallbackRelay:
    """Connects one upstream body to one client, for the duration of `run`."""

    __slots__ = ("_client", "_done", "_error", "_feed", "_paused", "_source", "_waiter")

    def __init__(self, source: Source, body_filter: BodyFilter, client: ClientWriter) -> None:
        self._source = source
        self._feed = body_filter.feed
        self._client = client
        self._done = False
        self._paused = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None

    async def run(self) -> None:
        """Relay until the clean end. Raises `SluiceError` if the upstream is cut."""
        try:
            self._source.flow(self)
            while not self._done:
                if self._paused:
                    # Also if the client has caught up meanwhile: the source must be resumed.
                    await self._client.drain()
                    self._paused = False
                    self._source.resume()
                else:
                    await self._wait()
        finally:
            self._source.stop()
        if self._error is not None:
            raise self._error

    def received(self, data: bytes, chunk: bytes = b"") -> None:
        """Relay bytes of the upstream, reusing their chunk framing if they are unchanged."""
        now = monotonic()
        client = self._client
        try:
            out = self._feed(data, now)
            client.write(out, now, chunk if out is data else b"")
        except Exception as error:  # noqa: BLE001 re-raised in `run`
            self._finish(error)
        if client.is_congested():
            self._paused = True
            self._source.pause()
            self._wake()

    def ended(self, error: SluiceError | None) -> None:
        """Note the upstream's end, clean or not."""
        self._finish(error)

    def _finish(self, error: Exception | None) -> None:
        if not self._done:
            self._done = True
            self._error = error
            self._wake()

    async def _wait(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
