"""The interface of the filters that a response body passes through."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.errors import SluiceError
    from proxy.record import EndedBy


class BodyFilter(Protocol):
    """A filter of an event stream, which it reads, or of an opaque body.

    Times are seconds of `time.monotonic()`.
    """

    data_at: float | None
    """When the last data was received; None before."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token was received; None before."""

    @property
    def between_events(self) -> bool:
        """Whether a ping may be inserted here."""

    @property
    def ping(self) -> bytes:
        """The bytes of a ping in this body."""

    @property
    def end(self) -> EndedBy | None:
        """How the stream has ended, if its events have said so."""

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Process bytes of the upstream; return those to send on."""

    def close(self, now: float) -> tuple[EndedBy, bytes]:
        """Note that the body ended cleanly; return the outcome, and withheld bytes to send."""

    def cut(self, error: SluiceError, request_id: str) -> bytes | None:
        """Return the bytes that tell the client of an error; None if this body cannot."""
