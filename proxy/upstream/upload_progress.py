"""The progress of a request that is being sent, as the HTTP client reports it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from aiohttp import TraceConfig

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Callable

    from aiohttp import ClientSession


class UploadProgress:
    """The state of one request while it is sent."""

    __slots__ = (
        "_has_body",
        "_on_sent",
        "in_pool_queue",
        "last",
        "on_old_connection",
        "transport",
    )

    def __init__(self, on_sent: Callable[[], None], *, has_body: bool, last: bool = False) -> None:
        self._on_sent = on_sent
        self._has_body = has_body
        self.last = last
        """Whether its connection must not be reused."""
        self.in_pool_queue = False
        """Whether it waits for one of the pool's connections."""
        self.on_old_connection = False
        """Whether its connection was reused."""
        self.transport: Transport | None = None
        """The transport that the body is written to; None before."""

    def head_sent(self) -> None:
        """Note that the head was sent, and so a request without a body."""
        if not self._has_body:
            self.body_sent()

    def body_sent(self) -> None:
        """Note that the body was written to the socket."""
        # Release the callback, which references the whole request: aiohttp keeps this object.
        on_sent, self._on_sent = self._on_sent, _nothing
        on_sent()

    def abort(self) -> None:
        """Abort the connection."""
        if self.transport is not None:
            self.transport.abort()


def _nothing() -> None:
    """Do nothing."""


def trace_config() -> TraceConfig:
    """Return a config that reports progress to the `UploadProgress` in `trace_request_ctx`."""
    config = TraceConfig()
    config.on_connection_queued_start.append(_queued)
    config.on_connection_queued_end.append(_unqueued)
    config.on_connection_reuseconn.append(_reused)
    config.on_request_headers_sent.append(_head_sent)
    return config


def _upload_of(context: SimpleNamespace) -> UploadProgress:
    sending = context.trace_request_ctx
    assert isinstance(sending, UploadProgress)
    return sending


async def _queued(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).in_pool_queue = True


async def _unqueued(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).in_pool_queue = False


async def _reused(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).on_old_connection = True


async def _head_sent(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).head_sent()
