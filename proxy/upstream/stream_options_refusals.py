"""Remembers upstreams that refuse requests for usage.

`stream_options` is OpenAI's; some compatible servers answer 400 or 422 to it. As Sluice added it,
not the client, the request is sent again without it, and later ones omit it for a time.
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
"""Bounded, because clients choose the models' names."""
_REFUSALS = frozenset({400, 422})
_NAMES = (b"stream_options", b"include_usage")
_MOST_BYTES = 64 * 1024
_LONGEST_SECONDS = 1.0


class StreamOptionsRefusals:
    """The recent refusals, by upstream and model."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Take `clock`, which returns seconds of a monotonic clock."""
        self._clock = clock
        self._until: dict[tuple[str, str], float] = {}

    def may_ask(self, target: Target, model: str) -> bool:
        """Whether to request usage from this upstream."""
        until = self._until.get((target.name, model), 0.0)
        return target.include_usage and self._clock() >= until

    def remember(self, target: Target, model: str) -> None:
        """Note a refusal."""
        while len(self._until) >= _MOST_REMEMBERED:
            del self._until[next(iter(self._until))]
        self._until[target.name, model] = self._clock() + REMEMBERED_SECONDS


async def refuses(response: StreamingResponse) -> bool:
    """Whether a response refuses the field; the bytes read become its `first`."""
    if response.status not in _REFUSALS:
        return False
    try:
        async with asyncio.timeout(_LONGEST_SECONDS):
            while len(response.first) <= _MOST_BYTES and (part := await response.read()):
                response.first += part
    except (TimeoutError, SluiceError):
        pass  # Decide by the bytes received; the next read gets the rest, or the error.
    return any(name in _readable(response) for name in _NAMES)


def _readable(response: StreamingResponse) -> bytes:
    coding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if not can_decompress(coding):
        return response.first
    try:
        return Decompressor(coding).feed(response.first)
    except ValueError:
        return response.first
