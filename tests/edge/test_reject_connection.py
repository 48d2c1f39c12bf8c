"""An answer without a server: whole, in the family's shape, counted."""

from __future__ import annotations

import asyncio
import json
import socket

import pytest

from proxy.edge.reject_connection import reject, reject_unread
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


GET = b"POST %s HTTP/1.1\r\nHost: a\r\nX-Request-ID: r-1\r\n\r\n"


@pytest.mark.parametrize(
    ("head", "route", "kind"),
    [
        (GET % b"/v1/chat/completions", "/v1/chat/completions", None),
        (GET % b"/v1/messages", "/v1/messages", "error"),
        (b"X-Rest-Of-A-Head: a\r\n\r\n", "other", None),
        (GET % b"/healthz", None, None),
    ],
)
@pytest.mark.parametrize("behind_nginx", [True, False])
async def test_no_memory_for_a_head(
    head: bytes, route: str | None, kind: str | None, behind_nginx: bool
) -> None:
    """503 in the family's shape; counted by who knows the path for certain, and by no other."""
    upstreams = (UpstreamSettings.model_validate({"name": "a", "url": "http://127.0.0.1:9"}),)
    settings = Settings(upstreams=upstreams)
    async with open_worker_state(settings, behind_nginx=behind_nginx) as state:
        answer, _, body = reject_unread(memoryview(head), state).partition(b"\r\n\r\n")
        shed = [
            sample.labels["route"]
            for family in state.telemetry.registry.collect()
            for sample in family.samples
            if sample.name == "sluice_requests_total"
            and (sample.labels["ended_by"], sample.labels["status"]) == ("shed", "503")
        ]
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"\r\nRetry-After: " in answer
    assert json.loads(body).get("type") == kind
    # By an answer without an id nginx knows that it is the one who counts.
    assert (b"\r\nX-Request-ID: " in answer) is not behind_nginx
    assert shed == ([] if behind_nginx or route is None else [route])
