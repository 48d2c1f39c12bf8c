"""Operations on a client session or a response's body for which aiohttp documents no way."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import ClientSession, StreamReader


def disable_retries(session: ClientSession) -> None:
    """Keep a session from repeating an idempotent request by itself, uncounted."""
    session._retry_connection = False  # noqa: SLF001 no public switch


def unread_bytes(content: StreamReader) -> bytes:
    """Take the bytes that were received before a failure, which `read` would discard."""
    return content._read_nowait(-1) if content._buffer else b""  # noqa: SLF001 no public way
