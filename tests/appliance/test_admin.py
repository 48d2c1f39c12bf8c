from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from proxy.appliance.admin import Admin
from tests.fixtures.ports import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping


class Scripted:
    """A view that says what a test wants."""

    reason: str | None = None

    def why_not_ready(self) -> str | None:
        """The test's reason."""
        return self.reason

    async def status(self) -> Mapping[str, object]:
        """Something."""
        return {"streams": 3}

    async def metrics(self) -> bytes:
        """Something else."""
        return b"one 1\n"


@pytest.fixture
async def view() -> Scripted:
    """What the admin port shows."""
    return Scripted()


@pytest.fixture
async def client(view: Scripted) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a running admin port."""
    admin, port = Admin(view), free_port()
    await admin.start("127.0.0.1", port)
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as opened:
        yield opened
    await admin.close()


async def test_metrics_come_in_prometheus_s_format(client: httpx.AsyncClient) -> None:
    """The body is passed on, with the content type that Prometheus expects."""
    answer = await client.get("/metrics")
    assert answer.text == "one 1\n"
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")


async def test_readiness_follows_the_view(client: httpx.AsyncClient, view: Scripted) -> None:
    """Ready is 200; else 503 with the reason. Alive is always 200."""
    assert (await client.get("/readyz")).json() == {"status": "ready"}
    view.reason = "draining"
    answer = await client.get("/readyz")
    assert (answer.status_code, answer.json()) == (503, {"status": "draining"})
    assert (await client.get("/healthz")).status_code == 200


async def test_status_is_json(client: httpx.AsyncClient) -> None:
    """What the view says, for programs."""
    assert (await client.get("/status")).json() == {"streams": 3}


@pytest.mark.skipif(not socket.has_dualstack_ipv6(), reason="no IPv6 here")
async def test_all_addresses_are_those_of_ipv4_as_well(view: Scripted) -> None:
    """With `::` a health check over IPv4 is answered, in HTTP/1.0 and without a Host, too."""
    admin, port = Admin(view), free_port()
    await admin.start("::", port)
    try:
        for address in ("127.0.0.1", "::1"):
            reader, writer = await asyncio.open_connection(address, port)
            writer.write(b"GET /readyz HTTP/1.0\r\n\r\n")
            assert b" 200 " in await reader.readline()
            writer.close()
    finally:
        await admin.close()


async def test_a_name_that_leads_here_by_somebody_else_s_doing_is_refused(
    client: httpx.AsyncClient,
) -> None:
    """DNS rebinding: a page under its own name would read the metrics. All routes alike."""
    for path in ("/metrics", "/status"):
        answer = await client.get(path, headers={"Host": "rebound.example"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")


async def test_health_is_answered_by_any_name(client: httpx.AsyncClient) -> None:
    """A load balancer checks by its own name for the machine, and learns nothing secret."""
    for path in ("/healthz", "/readyz"):
        answer = await client.get(path, headers={"Host": "node-7.pool.example"})
        assert answer.status_code == 200


@pytest.mark.parametrize("path", ["/metrics", "/status", "/", "/nowhere"])
async def test_with_a_token_nothing_is_told_without_it(view: Scripted, path: str) -> None:
    """401, which makes a browser ask; only whether Sluice is well is for everybody."""
    admin, port = Admin(view, token="t0ken"), free_port()
    await admin.start("127.0.0.1", port)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            refused = await client.get(path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"].startswith("Basic ")
            assert refused.json()["error"]["code"] == "unauthorized"
            assert (await client.get(path, auth=("any", "wrong"))).status_code == 401
            assert (await client.get(path, auth=("any", "t0ken"))).status_code in {200, 404}
            bearer = {"Authorization": "Bearer t0ken"}
            assert (await client.get(path, headers=bearer)).status_code in {200, 404}
            assert (await client.get("/readyz")).status_code == 200
    finally:
        await admin.close()


@pytest.mark.parametrize(
    "sent",
    [b"GET /metrics HTTP/1.1\r\nHost: x\r\nbad header: s3cret\r\n\r\n", b"s3cret\r\n\r\n"],
)
async def test_what_is_no_http_is_refused_as_json(client: httpx.AsyncClient, sent: bytes) -> None:
    """Without the bytes that were sent, which may be anything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.base_url.port)
    writer.write(sent)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 "))
    assert b"application/json" in head
    assert b'"code": "invalid_request"' in body
    assert b"s3cret" not in body


async def test_what_is_not_there_is_refused_as_json(client: httpx.AsyncClient) -> None:
    """A route or a method that there is not."""
    assert (await client.get("/nowhere")).json()["error"]["code"] == "not_found"
    refused = await client.post("/metrics")
    assert (refused.status_code, refused.json()["error"]["code"]) == (405, "method_not_allowed")
    assert "GET" in refused.headers["allow"]
