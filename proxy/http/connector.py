"""The pool of connections to upstreams: which one a request may have.

What an upstream says between an answer and the next request shows that it is out of step; once
that request has left, it looks like its answer. So the first connection to an upstream is listened
to for a moment before it is used again, and one that spoke right after an answer has its
connections used once for a while.
"""

from __future__ import annotations

import asyncio
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, cast

from aiohttp import TCPConnector

from proxy.http.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from aiohttp.client_proto import ResponseHandler

LISTENED_SECONDS = 0.01
"""How long the first connection to an upstream must have been silent after an answer."""
_SOON_SECONDS = 1.0
"""Later it is the word of a balancer that has waited long enough, and no sign of disorder."""
_DISTRUSTED_SECONDS = 60.0


class Connector(TCPConnector):
    """aiohttp's pool, for connections that know when they can be used again."""

    def __init__(self, made: Callable[[], Connection], **options: Any) -> None:
        """`made` makes the protocol of a connection; `options` are aiohttp's."""
        super().__init__(**options)
        # There is no public way to choose a connector's protocol.
        self._factory = cast("Any", made)
        self._trusted: set[Any] = set()
        """Upstreams that were silent after an answer."""
        self._distrusted_until: dict[Any, float] = {}

    def kept(self) -> int:
        """How many connections wait for a request."""
        return sum(one.is_connected() for waiting in self._conns.values() for one, _ in waiting)

    def in_use(self) -> int:
        """How many connections serve a request, or are being made for one."""
        return len(self._acquired)

    async def _get(self, key: Any, traces: Any) -> Any:
        waiting = self._conns.get(key)
        if waiting and key not in self._trusted:
            first, since = waiting[0]
            await asyncio.sleep(since + LISTENED_SECONDS - monotonic())
            if first.is_connected():
                self._trusted.add(key)
        return await super()._get(key, traces)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        made = cast("Connection", protocol)
        spent = should_close or made.is_old() or monotonic() < self._distrusted_until.get(key, 0.0)
        super()._release(key, protocol, should_close=spent)
        if protocol.transport is not None:
            made.rest(partial(self._spoke, key))

    def _spoke(self, key: Any, after: float) -> None:
        if after < _SOON_SECONDS:
            self._trusted.discard(key)
            self._distrusted_until[key] = monotonic() + _DISTRUSTED_SECONDS
