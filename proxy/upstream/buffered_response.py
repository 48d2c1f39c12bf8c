"""An upstream's answer read whole and kept, while another attempt is made."""

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
    """An answer that needs no connection any more; see `Answer`."""

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
        """The answer with another body, and the headers for it."""
        made = cls(response, body)
        made.headers = headers
        return made

    async def read(self) -> bytes:
        """The body in one piece, then nothing."""
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        """There is nothing to let go."""

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
    """Read a refusal whole and close it; None if it is too long, too slow or cut.

    Read to its end it gives its connection back, so that a refusal costs no new handshake.
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
