"""One short question over HTTP/1.0, to a worker's socket or to nginx's port.

The transport towards upstreams is not for this: it pools, retries and streams, and here one answer
of a few hundred bytes is wanted within a deadline.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Coroutine


class ProbeResponse(NamedTuple):
    """Status and body of an answer."""

    status: int
    body: bytes


async def probe_socket(path: str, route: str, *, seconds: float) -> ProbeResponse | None:
    """GET a route from a unix socket; None if there was no whole answer in time."""
    return await _probe(asyncio.open_unix_connection(path), route, seconds)


async def probe_port(
    address: str, port: int, route: str, *, seconds: float, proxy_protocol: bool = False
) -> ProbeResponse | None:
    """GET a route from a port of this machine; None if there was no whole answer in time."""
    connecting = asyncio.open_connection(reachable(address), port)
    # "Sent by the proxy itself" (haproxy.org, "The PROXY protocol", 2.1).
    return await _probe(connecting, route, seconds, b"PROXY UNKNOWN\r\n" * proxy_protocol)


async def accepts(address: str, port: int) -> bool:
    """Whether anybody listens on a port of this machine."""
    try:
        _, writer = await asyncio.open_connection(reachable(address), port)
    except OSError:
        return False
    writer.close()
    return True


def reachable(address: str) -> str:
    """An address to connect to, for one that is listened on."""
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
                asked = f"GET {route} HTTP/1.0\r\nHost: localhost\r\n\r\n"
                writer.write(preface + asked.encode())
                return _parsed(await reader.read())
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return None


def _parsed(data: bytes) -> ProbeResponse | None:
    head, end, body = data.partition(b"\r\n\r\n")
    words = head.split(None, 2)
    if not end or len(words) < 2 or not words[1].isdigit():
        return None
    return ProbeResponse(int(words[1]), body)
