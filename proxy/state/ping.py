"""Pings a store on a unix socket without importing a Redis client."""

from __future__ import annotations

import asyncio


async def ping(path: str, seconds: float) -> bool:
    """Send PING as an inline command (Redis protocol). Return False without a PONG in time."""
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, ValueError):
        # TimeoutError is an OSError; an overlong line is a ValueError.
        return False
