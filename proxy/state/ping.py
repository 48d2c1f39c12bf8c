"""Whether a store answers on a unix socket, without loading a client for it."""

from __future__ import annotations

import asyncio


async def ping(path: str, seconds: float) -> bool:
    """PING it, as an inline command (Redis protocol); False if there is no PONG in time."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, ValueError):
        # A timeout is an OSError, too; a line without end a ValueError.
        return False
