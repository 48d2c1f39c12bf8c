"""The filter of bodies other than event streams, which are relayed unread."""

from __future__ import annotations

from proxy.errors import SluiceError
from proxy.record import EndedBy

KEPT_BYTES = 1024 * 1024
"""The largest JSON response that is buffered to be metered at its end."""
HEAD_BYTES = 1024
TAIL_BYTES = 16 * 1024
"""What is buffered of a response whose ends state model and usage, such as embeddings."""


class OpaqueBody:
    """Relays bytes; optionally buffers a small response, or the two ends of any, for metering."""

    __slots__ = ("_head", "_kept", "_size", "_tail", "data_at", "end", "first_token_at")

    between_events = False
    ping = b""

    def __init__(self, *, keep: bool, ends: bool = False) -> None:
        self._head = b""
        self._tail: bytes | None = b"" if ends else None
        self._kept: list[bytes] | None = [] if keep else None
        self._size = 0
        self.data_at: float | None = None
        self.first_token_at: float | None = None
        """When the first byte was received, in place of a first token."""
        self.end: EndedBy | None = None

    @property
    def kept(self) -> bytes | None:
        """The whole body so far; None if it is not buffered, or is too large."""
        return None if self._kept is None else b"".join(self._kept)

    @property
    def ends(self) -> bytes | None:
        """The beginning and the end of the body so far, joined; None if not buffered."""
        return None if self._tail is None else self._head + self._tail

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Return the bytes unchanged."""
        self.data_at = now
        self.first_token_at = self.first_token_at or now
        if self._kept is not None:
            self._kept.append(chunk)
            self._size += len(chunk)
            if self._size > KEPT_BYTES:
                self._kept = None
        if self._tail is not None:
            tail = self._tail + chunk
            if len(self._head) < HEAD_BYTES:
                self._head += tail[:-TAIL_BYTES][: HEAD_BYTES - len(self._head)]
            self._tail = tail[-TAIL_BYTES:]
        return chunk

    def close(self, _now: float) -> tuple[EndedBy, bytes]:
        """Return complete: a clean end is all that is known of such a body."""
        return EndedBy.COMPLETE, b""

    def cut(self, _error: SluiceError, _request_id: str) -> None:
        """Return None: an error cannot be expressed in a body of unknown format."""
        return
