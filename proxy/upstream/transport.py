"""The worker's HTTP client: sends calls, and returns responses or Sluice's errors.

This is the only place that opens connections to upstreams.
"""

from __future__ import annotations

import asyncio
import socket
from functools import partial
from typing import TYPE_CHECKING, Self

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar
from yarl import URL

from proxy.errors import SluiceError, UpstreamReset
from proxy.http.aiohttp_client_internals import disable_retries
from proxy.http.connector import Connector
from proxy.http.parser_bypass import BypassHandler
from proxy.http.upload_body import UploadBody
from proxy.http.upstream_connection import UpstreamConnection
from proxy.upstream.call import outgoing_request
from proxy.upstream.error_map import CLIENT_ERRORS, map_request_error
from proxy.upstream.headers import closing
from proxy.upstream.local_shortage import is_own_shortage
from proxy.upstream.response import StreamingResponse
from proxy.upstream.upload_progress import UploadProgress, trace_config

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from aiohttp import AddrInfoType

    from proxy.upstream.call import Call
    from proxy.upstream.targets import Target

READ_BUFFER_BYTES = 32 * 1024
"""Reading from an upstream pauses at twice this, and resumes below it: the bound per stream."""
_RECEIVE_BUFFER_BYTES = 64 * 1024
"""SO_RCVBUF, which Linux doubles. At a round trip of 100 ms it allows 640 KB/s per stream."""
_LARGEST_HEAD_FIELD = 128 * 1024
_MOST_HEAD_FIELDS = 1000
_KEEPALIVE_SECONDS = 30.0
_DNS_SECONDS = 30
_HAPPY_EYEBALLS_SECONDS = 0.25
_WITH_BODIES = frozenset({"POST", "PUT", "PATCH"})
"""With other methods, an upstream may not read the body, and take it for the next request."""
_ADDED_BY_AIOHTTP = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")


class StaleConnection(UpstreamReset):
    """A pooled connection was closed while the call was sent: nobody's fault."""


class Transport:
    """All connections of this worker to upstreams; create it inside the event loop."""

    def __init__(
        self,
        pool_connections: int = 0,
        *,
        fast_path: bool = True,
        connection_age: float = 0.0,
    ) -> None:
        """Take `pool_connections`, the maximum of connections; 0: unlimited.

        `fast_path` lets chunked event streams bypass aiohttp's parser. `connection_age` is the
        seconds after which a connection is not reused, to follow DNS changes; 0.0: unlimited.
        """
        loop = asyncio.get_running_loop()
        names = min(_DNS_SECONDS, connection_age / 2) if connection_age else _DNS_SECONDS
        protocol = BypassHandler if fast_path else UpstreamConnection
        self._connector = Connector(
            # A new connection's DNS answer may already be as old as the cache's TTL.
            partial(protocol, loop, longest_life=connection_age and connection_age - names),
            limit=pool_connections,
            limit_per_host=0,
            keepalive_timeout=_KEEPALIVE_SECONDS,
            ttl_dns_cache=names,
            happy_eyeballs_delay=_HAPPY_EYEBALLS_SECONDS,
            socket_factory=_open_socket,
        )
        self._session = ClientSession(
            connector=self._connector,
            cookie_jar=DummyCookieJar(),
            skip_auto_headers=_ADDED_BY_AIOHTTP,
            auto_decompress=False,
            trust_env=False,
            trace_configs=[trace_config()],
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=_LARGEST_HEAD_FIELD,
            max_field_size=_LARGEST_HEAD_FIELD,
            max_headers=_MOST_HEAD_FIELDS,
        )
        # Retries are decided elsewhere (`Upstreams.request`).
        disable_retries(self._session)

    async def send(
        self, call: Call, target: Target, on_sent: Callable[[], None]
    ) -> StreamingResponse:
        """Send the call and wait for the response's head.

        `on_sent` is called when the whole request has been sent. Only the connect timeout limits
        the wait. Raises `BadRequest`, `ConnectFailed`, `ConnectTimeout`, `Overloaded`,
        `UpstreamReset` (`StaleConnection` on a reused connection) and `UpstreamInvalid`.
        Cancellation closes the connection.
        """
        outgoing, method = outgoing_request(call, target), call.record.method
        has_body = any(outgoing.pieces)
        last = has_body and method not in _WITH_BODIES
        upload = UploadProgress(on_sent, has_body=has_body, last=last)
        try:
            client_response = await self._session.request(
                method,
                URL(outgoing.url, encoded=True),
                headers=closing(outgoing.headers) if last else outgoing.headers,
                data=UploadBody(outgoing.pieces, upload) if has_body else None,
                allow_redirects=False,
                ssl=target.tls or True,
                # Disable aiohttp's rounding up to whole seconds.
                timeout=ClientTimeout(
                    total=None, connect=target.connect_timeout, ceil_threshold=1e9
                ),
                trace_request_ctx=upload,
            )
        except BaseException as error:
            upload.abort()
            if is_own_shortage(error) or isinstance(error, CLIENT_ERRORS):
                raise _mapped(error, target.name, upload) from error
            raise
        return StreamingResponse(client_response, target.name)

    def connections(self) -> tuple[int, int]:
        """Return the numbers of connections to upstreams: in use and idle."""
        return self._connector.in_use(), self._connector.kept()

    async def close(self) -> None:
        """Close every connection."""
        await self._session.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _mapped(error: BaseException, upstream: str, upload: UploadProgress) -> SluiceError:
    named = map_request_error(error, upstream, in_pool_queue=upload.in_pool_queue)
    if upload.on_old_connection and type(named) is UpstreamReset:
        return StaleConnection(named.happened)
    return named


def _open_socket(address: AddrInfoType) -> socket.socket:
    """Open a socket with TCP_NODELAY, keepalive probes and a small receive buffer."""
    family, kind, protocol, *_ = address
    opened = socket.socket(family, kind, protocol)
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Bounds the memory of a stream whose client is slow.
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BUFFER_BYTES)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    if hasattr(socket, "TCP_KEEPIDLE"):
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 30)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 10)
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT, 3)
    return opened
