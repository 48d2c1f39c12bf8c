"""A request on its way out: the body, and the moment when all of it has left."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

from aiohttp import TraceConfig
from aiohttp.payload import Payload

if TYPE_CHECKING:
    from asyncio import Transport
    from collections.abc import Callable

    from aiohttp import ClientSession
    from aiohttp.abc import AbstractStreamWriter

_PIECE = 64 * 1024


class Upload:
    """What is known of one request while it is sent."""

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
        """Whether no other request may go out on its connection."""
        self.in_pool_queue = False
        """Whether it still waits for one of the pool's connections."""
        self.on_old_connection = False
        """Whether its connection had served another request before."""
        self.transport: Transport | None = None
        """The connection that the body goes to; None until then."""

    def head_leaves(self) -> None:
        """The head is being written; a request without a body is thereby sent."""
        if not self._has_body:
            self.body_left()

    def body_left(self) -> None:
        """The last byte of the body was taken by the system."""
        # Who is told holds the whole request, and aiohttp keeps this object as long as the answer.
        on_sent, self._on_sent = self._on_sent, _nothing
        on_sent()

    def abort(self) -> None:
        """Drop the connection at once, whatever it still holds."""
        if self.transport is not None:
            self.transport.abort()


def _nothing() -> None:
    """What is left to do once it has been told."""


class UploadBody(Payload):
    """Bytes sent piece by piece, so that an upstream that does not read holds up only itself."""

    _value: tuple[memoryview, ...]
    _autoclose = True  # There is nothing but memory to close.

    def __init__(self, value: tuple[memoryview, ...], upload: Upload) -> None:
        super().__init__(value)
        self._size = sum(map(len, value))
        self._upload = upload

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """The body as text, which aiohttp wants every payload to offer."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write it all, waiting wherever the upstream lags."""
        # The writer of a client request has its transport, which the interface does not promise.
        self._upload.transport = getattr(writer, "transport", None)
        protocol = getattr(writer, "protocol", None)
        if self._upload.last and protocol is not None:
            protocol.force_close()
        for part in self._value:
            for start in range(0, len(part), _PIECE):
                await writer.write(part[start : start + _PIECE])
        self._upload.body_left()


def trace_config() -> TraceConfig:
    """Have a session tell the `Upload` handed to it as `trace_request_ctx` how far it is."""
    config = TraceConfig()
    config.on_connection_queued_start.append(_queued)
    config.on_connection_queued_end.append(_unqueued)
    config.on_connection_reuseconn.append(_reused)
    config.on_request_headers_sent.append(_head_leaves)
    return config


def _upload_of(context: SimpleNamespace) -> Upload:
    sending = context.trace_request_ctx
    assert isinstance(sending, Upload)
    return sending


async def _queued(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).in_pool_queue = True


async def _unqueued(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).in_pool_queue = False


async def _reused(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).on_old_connection = True


async def _head_leaves(_session: ClientSession, context: SimpleNamespace, _params: object) -> None:
    _upload_of(context).head_leaves()
