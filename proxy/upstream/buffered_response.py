"""An upstream's whole response, buffered while another attempt is made."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

from proxy.errors import SluiceError

if TYPE_CHECKING:
    from types import TracebackType

    from multidict import CIMultiDict

    from proxy.http.raw_body import RawBody
    from proxy.upstream.response import StreamingResponse, UpstreamResponse

_MOST_BYTES = 64 * 1024
_LONGEST_SECONDS = 1.0


class BufferedResponse:
    """A response without a connection; see `UpstreamResponse`."""

    ended_by_close = False
    first = b""
    source: RawBody | None = None

    def __init__(self, response: UpstreamResponse, body: bytes) -> None:
        self.status = response.status
        self.reason = response.reason
        self.headers = response.headers
        self.upstream = response.upstream
        self.is_event_stream = response.is_event_stream
        self._body = body

    @classmethod
    def of(
        cls, response: UpstreamResponse, headers: CIMultiDict[str], body: bytes
    ) -> BufferedResponse:
        """Return the response with another body and headers."""
        buffered = cls(response, body)
        buffered.headers = headers
        return buffered

    async def read(self) -> bytes:
        """Return the body, then an empty one."""
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


async def buffer_response(response: StreamingResponse) -> BufferedResponse | None:
    """Read a whole error response and close it; None if it is too long, too slow or cut.

    Reading it to its end returns its connection to the pool, which saves a handshake.
    """
    parts = [response.first]
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            while part := await response.read():
                parts.append(part)
                if sum(map(len, parts)) > _MOST_BYTES:
                    return None
    except (TimeoutError, SluiceError):
        return None
    finally:
        response.close()
    return BufferedResponse(response, b"".join(parts))
