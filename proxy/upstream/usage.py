"""Usage that is asked for on the client's behalf, and upstreams that refuse to be asked.

`stream_options` is OpenAI's; some servers that speak its dialect answer 400 or 422 to it. Such a
refusal is not the client's, who never asked: the request goes out again without, and for a time
no other with.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from proxy.errors import SluiceError
from proxy.http.decompress import Decompressor, can_decompress

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.upstream.response import StreamingResponse
    from proxy.upstream.targets import Target

REMEMBERED_SECONDS = 3600.0
_MOST_REMEMBERED = 1000
"""Names of models are the clients' to choose."""
_REFUSALS = frozenset({400, 422})
_NAMES = (b"stream_options", b"include_usage")
_MOST_BYTES = 64 * 1024
_LONGEST_SECONDS = 1.0


class Refusals:
    """Which upstreams refused of late, and for which models."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` gives seconds of a monotonic clock."""
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def may_ask(self, target: Target, model: str) -> bool:
        """Whether this upstream is to be asked."""
        until = self._until.get((target.name, model), 0.0)
        return target.include_usage and self._clock() >= until

    def remember(self, target: Target, model: str) -> None:
        """It refused."""
        while len(self._until) >= _MOST_REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[target.name, model] = self._clock() + REMEMBERED_SECONDS


async def refuses(response: StreamingResponse) -> bool:
    """Whether an answer is a refusal of the field; what is read for that becomes its `first`."""
    if response.status not in _REFUSALS:
        return False
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            while len(response.first) <= _MOST_BYTES and (part := await response.read()):
                response.first += part
    except (TimeoutError, SluiceError):
        pass  # What has come decides, and whoever reads on meets the rest, or the error again.
    return any(name in _readable(response) for name in _NAMES)


def _readable(response: StreamingResponse) -> bytes:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if not can_decompress(coding):
        return response.first
    try:
        return Decompressor(coding).feed(response.first)
    except ValueError:
        return response.first
