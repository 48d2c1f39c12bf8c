"""The pool of connections to upstreams, which avoids those that receive unsolicited data.

Data that an upstream sends between a response and the next request shows that it is out of step;
after that request is sent, it would look like its response. Therefore the first connection to an
upstream must stay silent for a moment before it is reused, and if an upstream sends data right
after a response, its connections are not reused for a while.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from aiohttp import TCPConnector

from proxy.http.upstream_connection import UpstreamConnection

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from aiohttp.client_proto import ResponseHandler

SILENCE_SECONDS = 0.01
"""How long the first connection to an upstream must be silent after a response."""
_SOON_AFTER_SECONDS = 1.0
"""Data after a longer idle time is a load balancer's timeout, not a sign of disorder."""
_DISTRUSTED_SECONDS = 60.0


class Connector(TCPConnector):
    """aiohttp's connector, for connections that decide whether they can be reused."""

    def __init__(self, factory: Callable[[], UpstreamConnection], **options: Any) -> None:
        """Take the `factory` of connections' protocols; `options` are aiohttp's."""
        super().__init__(**options)
        # There is no public way to set a connector's protocol.
        self._factory = cast("Any", factory)
        self._trusted: set[Any] = set()
        """Upstreams that were silent after a response."""
        self._distrusted_until: dict[Any, float] = {}

    def kept(self) -> int:
        """Return the number of idle connections."""
        return sum(
            connection.is_connected() for idle in self._conns.values() for connection, _ in idle
        )

    def in_use(self) -> int:
        """Return the number of connections that are in use or being opened."""
        return len(self._acquired)

    async def _get(self, key: Any, traces: Any) -> Any:
        waiting = self._conns.get(key)
        if waiting and key not in self._trusted:
            first, since = waiting[0]
            await asyncio.sleep(since + SILENCE_SECONDS - monotonic())
            if first.is_connected():
                self._trusted.add(key)
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        connection = cast("UpstreamConnection", protocol)
        discard = (
            should_close
            or connection.is_old()
            or monotonic() < self._distrusted_until.get(key, 0.0)
        )
        super()._release(key, protocol, should_close=discard)
        if protocol.transport is not None:
            connection.become_idle(partial(self._unsolicited, key))

    def _unsolicited(self, key: Any, after: float) -> None:
        if after < _SOON_AFTER_SECONDS:
            self._trusted.discard(key)
            self._distrusted_until[key] = monotonic() + _DISTRUSTED_SECONDS
