"""The pool of connections to upstreams: which one a request may have."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from aiohttp import TCPConnector

from proxy.upstream.connection import Connection

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from aiohttp.client_proto import ResponseHandler


class Connector(TCPConnector):
    """aiohttp's pool, for connections that know when they can be used again."""

    def __init__(self, made: Callable[[], Connection], **options: Any) -> None:
        """`made` makes the protocol of a connection; `options` are aiohttp's."""
        super().__init__(**options)
        # There is no public way to choose a connector's protocol.
        self._factory = cast("Any", made)

    def kept(self) -> int:
        """How many connections wait for a request."""
        return sum(one.is_connected() for waiting in self._conns.values() for one, _ in waiting)

    def in_use(self) -> int:
        """How many connections serve a request, or are being made for one."""
        return len(self._acquired)

    def _release(self, key: Any, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        made = cast("Connection", protocol)
        super()._release(key, protocol, should_close=should_close or made.is_old())
        if protocol.transport is not None:
            made.rest()
