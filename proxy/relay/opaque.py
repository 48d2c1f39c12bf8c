"""A body that is passed on and not looked into: all that is no event stream."""

from __future__ import annotations

from proxy.errors import SluiceError
from proxy.record import EndedBy

KEPT_BYTES = 1024 * 1024
"""The largest JSON answer that is kept to be metered at its end."""
HEAD_BYTES = 1024
TAIL_BYTES = 16 * 1024
"""What is kept of an answer whose ends state its model and usage, such as megabytes of vectors."""


class Opaque:
    """Passes bytes; keeps a small answer, or the two ends of any, for the meter if asked to."""

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
        """The first byte, as near as a body without tokens comes to a first token."""
        self.end: EndedBy | None = None

    @property
    def kept(self) -> bytes | None:
        """The whole body so far; None if it was not to be kept or grew too large."""
        return None if self._kept is None else b"".join(self._kept)

    @property
    def ends(self) -> bytes | None:
        """How the body so far begins and ends, in one; None if that was not to be kept."""
        return None if self._tail is None else self._head + self._tail

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Take in bytes and give them back."""
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
        """A clean end of such a body is all that can be known of it."""
        return EndedBy.COMPLETE, b""

    def cut(self, _error: SluiceError, _request_id: str) -> None:
        """Nothing can be said inside a body of unknown form."""
        return
