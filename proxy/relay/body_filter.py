"""What the bytes of an answer pass through on their way to the client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from proxy.errors import SluiceError
    from proxy.record import EndedBy


class BodyFilter(Protocol):
    """An event stream that is read, or a body that is not looked into.

    Times are seconds of `time.monotonic()`.
    """

    data_at: float | None
    """When the last data came; None until then."""

    @property
    def first_token_at(self) -> float | None:
        """When the first token came; None until then."""

    @property
    def between_events(self) -> bool:
        """Whether a ping may stand here."""

    @property
    def ping(self) -> bytes:
        """What a ping is here."""

    @property
    def end(self) -> EndedBy | None:
        """How the answer has ended already, if its own events said so."""

    def feed(self, chunk: bytes, now: float) -> bytes:
        """Take in the upstream's bytes; give those to send on."""

    def close(self, now: float) -> tuple[EndedBy, bytes]:
        """The body ended cleanly: what that means, and bytes still owed."""

    def cut(self, error: SluiceError, request_id: str) -> bytes | None:
        """What to send to say that it broke; None if this body cannot say it."""
