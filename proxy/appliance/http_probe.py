"""Health probes over HTTP/1.0, to a worker's socket or to nginx's port.

They do not use the upstream transport, which pools, retries and streams: a probe needs one small
response within a deadline.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Coroutine


class ProbeResponse(NamedTuple):
    """Status and body of a response."""

    status: int
    body: bytes


async def probe_socket(path: str, route: str, *, seconds: float) -> ProbeResponse | None:
    """GET a route from a unix socket; None without a complete response in time."""
    return await _probe(asyncio.open_unix_connection(path), route, seconds)


async def probe_port(
    address: str, port: int, route: str, *, seconds: float, proxy_protocol: bool = False
) -> ProbeResponse | None:
    """GET a route from a local port; None without a complete response in time."""
    connecting = asyncio.open_connection(reachable(address), port)
    # "Sent by the proxy itself" (haproxy.org, "The PROXY protocol", 2.1).
    return await _probe(connecting, route, seconds, b"PROXY UNKNOWN\r\n" * proxy_protocol)


async def accepts(address: str, port: int) -> bool:
    """Whether a local port accepts connections."""
    try:
        _, writer = await asyncio.open_connection(reachable(address), port)
    except OSError:
        return False
    writer.close()
    return True


def reachable(address: str) -> str:
    """Return the address to connect to for a listening address: loopback for a wildcard."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104 compared, not bound


async def _probe(
    connecting: Coroutine[Any, Any, tuple[asyncio.StreamReader, asyncio.StreamWriter]],
    route: str,
    seconds: float,
    preface: bytes = b"",
) -> ProbeResponse | None:
    try:
        async with asyncio.timeout(seconds):
            reader, writer = await connecting
            try:
                request = f"GET {route} HTTP/1.0\r\nHost: localhost\r\n\r\n"
                writer.write(preface + request.encode())
                return _parsed(await reader.read())
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None


def _parsed(data: bytes) -> ProbeResponse | None:
    head, end, body = data.partition(b"\r\n\r\n")
    parts = head.split(None, 2)
    if not end or len(parts) < 2 or not parts[1].isdigit():
        return None
    return ProbeResponse(int(parts[1]), body)
