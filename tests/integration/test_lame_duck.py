"""SIGTERM with SLUICE_LAME_DUCK_SECONDS: not ready at once, and served all the same for a while."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
from collections.abc import Iterator
from typing import Any

import h2.connection
import h2.events
import httpx
import pytest

from tests.fixtures.ports import free_port
from tests.integration import raw
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, eventually
from tests.nginx.pem import ONE

LONG = 60.0
ENDS_SECONDS = 30.0
GOAWAY, END_STREAM = "GOAWAY", "END_STREAM"


@contextlib.contextmanager
def gateway(
    kind: str, upstream: gateways.Upstream, lame_duck: float = LONG, **more: Any
) -> Iterator[RunningGateway]:
    start = gateways.worker if kind == "worker" else gateways.appliance
    with start(upstream, lame_duck_seconds=lame_duck, drain_seconds=20, **more) as running:
        yield running


async def status_of(url: str) -> int:
    """The status of one GET on a connection of its own; 0 where nobody listens."""
    try:
        async with httpx.AsyncClient(timeout=10) as client:
            return (await client.get(url)).status_code
    except httpx.TransportError:
        return 0


async def not_ready(gateway: RunningGateway) -> None:
    """Wait until every readiness route says so."""
    for base in filter(None, (gateway.url, gateway.admin_url)):

        async def refuses(url: str = f"{base}/readyz") -> bool:
            return await status_of(url) == 503

        await eventually(refuses, f"{base} stays ready")


def stop(gateway: RunningGateway) -> None:
    gateway.process.popen.send_signal(signal.SIGTERM)


async def exit_status(gateway: RunningGateway) -> int:
    return await asyncio.to_thread(gateway.process.popen.wait, ENDS_SECONDS)


@pytest.mark.parametrize("kind", ["worker", "appliance"])
async def test_newcomers_are_served_and_sent_away(kind: str, upstream: gateways.Upstream) -> None:
    """Not ready at once; each answer is whole and the last of its connection; a signal ends it."""
    with gateway(kind, upstream) as running:
        kept = await raw.Line.open(running.url)
        await kept.ask(raw.ask_chat("tokens=100000;rate=20"))
        stop(running)
        await not_ready(running)

        async def says_close() -> bool:
            line = await raw.Line.open(running.url)
            with contextlib.closing(line.writer):
                head = await line.ask(raw.ask_chat("tokens=3"))
                assert head.status == 200
                assert b"[DONE]" in await line.body()
                return head.headers.get("Connection", "").lower() == "close"

        await eventually(says_close, "connections are kept")
        assert running.process.popen.poll() is None
        # The next signal skips what is left of it, the one after that the drain.
        stop(running)

        async def closed() -> bool:
            return await status_of(f"{running.url}/healthz") == 0

        await eventually(closed, "its port stays open")
        assert await kept.part()
        stop(running)
        with contextlib.closing(kept.writer), contextlib.suppress(raw.BrokenOff):
            while await kept.part():
                pass
        assert await exit_status(running) == 1


@pytest.mark.parametrize("kind", ["worker", "appliance"])
async def test_it_ends_by_itself(kind: str, upstream: gateways.Upstream) -> None:
    """After its time nothing new is taken in, what runs goes on to its end, and the exit is 0."""
    with gateway(kind, upstream, 1.0) as running:
        kept = await raw.Line.open(running.url)
        await kept.ask(raw.ask_chat("tokens=60;rate=20"))
        stop(running)
        with contextlib.closing(kept.writer):
            assert b"[DONE]" in await kept.body()
        assert await exit_status(running) == 0


async def test_http2_clients_are_told_to_go_away(upstream: gateways.Upstream) -> None:
    """GOAWAY on a connection that is there, and to a new one, which has its answer all the same."""
    tls_port = free_port()
    with gateway(
        "appliance", upstream, tls_port=tls_port, tls_certificate=ONE.certificate, tls_key=ONE.key
    ) as running:
        reader, writer, http2 = await http2_connection(tls_port)
        ask(http2, writer)
        await until(reader, writer, http2, h2.events.ResponseReceived)
        stop(running)
        await until(reader, writer, http2, h2.events.ConnectionTerminated)
        writer.close()
        await not_ready(running)
        reader, writer, http2 = await http2_connection(tls_port)
        ask(http2, writer)
        assert await ending_frames(reader) == [GOAWAY, END_STREAM]
        writer.close()


async def http2_connection(
    port: int,
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, h2.connection.H2Connection]:
    context = ssl.create_default_context(cafile=ONE.certificate)
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("localhost", port, ssl=context)
    http2 = h2.connection.H2Connection()
    http2.initiate_connection()
    writer.write(http2.data_to_send())
    return reader, writer, http2


def ask(http2: h2.connection.H2Connection, writer: asyncio.StreamWriter) -> None:
    number = http2.get_next_available_stream_id()
    pseudo = {"method": "GET", "scheme": "https", "authority": "localhost", "path": "/v1/models"}
    http2.send_headers(number, [(f":{n}", v) for n, v in pseudo.items()], end_stream=True)
    writer.write(http2.data_to_send())


async def until(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    http2: h2.connection.H2Connection,
    wanted: type[h2.events.Event],
) -> None:
    """Read until there was such an event."""
    seen: list[h2.events.Event] = []
    async with asyncio.timeout(raw.DEADLINE):
        while not any(isinstance(event, wanted) for event in seen):
            data = await reader.read(65536)
            assert data, f"it closed before that: {seen}"
            seen += http2.receive_data(data)
            writer.write(http2.data_to_send())


async def ending_frames(reader: asyncio.StreamReader) -> list[str]:
    """Up to the end of the connection; h2 itself reads nothing more after a GOAWAY."""
    frames = []
    async with asyncio.timeout(raw.DEADLINE):
        with contextlib.suppress(asyncio.IncompleteReadError):
            while True:
                head = await reader.readexactly(9)
                await reader.readexactly(int.from_bytes(head[:3], "big"))
                if head[3] == 7:
                    frames.append(GOAWAY)
                elif head[3] in {0, 1} and head[4] & 1:
                    frames.append(END_STREAM)
    return frames
