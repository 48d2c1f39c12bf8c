"""An answer without a server: whole, in the family's shape, counted."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from proxy.edge.reject_connection import reject
from proxy.edge.worker_state import open_worker_state
from proxy.settings import Settings
from proxy.upstream_settings import UpstreamSettings

BODY = b"x" * 300_000


@pytest.mark.parametrize(
    ("path", "counted", "kind"),
    [("/v1/chat/completions", 1, None), ("/v1/messages", 1, "error"), ("/healthz", 0, None)],
)
async def test_the_answer_arrives_though_the_request_was_not_read(
    path: str, counted: int, kind: str | None
) -> None:
    """503 with `Retry-After` and an id, also before a body of more than a socket holds."""
    upstreams = (UpstreamSettings.model_validate({"name": "a", "url": "http://127.0.0.1:9"}),)
    async with open_worker_state(Settings(upstreams=upstreams)) as state:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            accepted = listening.accept()[0]
        accepted.setblocking(False)
        writer.write(b"POST %s HTTP/1.1\r\nHost: a\r\n" % path.encode())
        writer.write(b"Content-Length: %d\r\n\r\n" % len(BODY) + BODY)
        rejecting = asyncio.create_task(reject(accepted, state.telemetry, ()))
        async with asyncio.timeout(10):
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
            await rejecting
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"\r\nRetry-After: 5" in head
        assert b"\r\nX-Request-ID: " in head
        assert json.loads(body).get("type") == kind
        shed = sum(
            sample.value
            for family in state.telemetry.registry.collect()
            for sample in family.samples
            if sample.name == "sluice_requests_total"
            and (sample.labels["ended_by"], sample.labels["status"]) == ("shed", "503")
        )
        assert shed == counted


@pytest.mark.parametrize("leaves", [True, False])
async def test_one_that_says_nothing(leaves: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is let go, at the latest when its time is over."""
    monkeypatch.setattr("proxy.edge.reject_connection._SECONDS", 0.1)
    upstreams = (UpstreamSettings.model_validate({"name": "a", "url": "http://127.0.0.1:9"}),)
    async with open_worker_state(Settings(upstreams=upstreams)) as state:
        client, accepted = socket.socketpair()
        accepted.setblocking(False)
        with client:
            if leaves:
                client.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(5):
                await reject(accepted, state.telemetry, ())
        assert accepted.fileno() == -1
