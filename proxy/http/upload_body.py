"""A request's body as the HTTP client writes it: in pieces, without a copy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp.payload import Payload

if TYPE_CHECKING:
    from asyncio import Transport

    from aiohttp.abc import AbstractStreamWriter

_PIECE = 64 * 1024


class Sending(Protocol):
    """The state of the request that the body belongs to."""

    last: bool
    """Whether its connection must not be reused."""
    transport: Transport | None
    """The transport that the body is written to; None before."""

    def body_sent(self) -> None:
        """Note that the body was written to the socket."""


class UploadBody(Payload):
    """A payload that is sent piece by piece, with flow control."""

    _value: tuple[memoryview, ...]
    _autoclose = True  # There is nothing to close.

    def __init__(self, value: tuple[memoryview, ...], sending: Sending) -> None:
        super().__init__(value)
        self._size = sum(map(len, value))
        self._sending = sending

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Return the body as text, which aiohttp requires of a payload."""
        return b"".join(self._value).decode(encoding, errors)

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Write the body, waiting while the upstream is slow."""
        # The actual writer has a transport, which the interface does not document.
        self._sending.transport = getattr(writer, "transport", None)
        protocol = getattr(writer, "protocol", None)
        if self._sending.last and protocol is not None:
            protocol.force_close()
        for part in self._value:
            for start in range(0, len(part), _PIECE):
                await writer.write(part[start : start + _PIECE])
        self._sending.body_sent()
