from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nginx.front import Front, Heard, plain

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram


async def test_a_sane_request_id_is_kept(program: NginxProgram) -> None:
    """The client's own id reaches the worker and comes back, once."""
    async with Front(program) as front:
        got = await front.get("/v1/x", "X-Request-ID: order_17.a-b")
        assert front.worker.heard[0].headers["x-request-id"] == "order_17.a-b"
    assert got.one("X-Request-ID") == "order_17.a-b"


@pytest.mark.parametrize("sent", ["", "two words", 'quo"te', "ü", "x" * 129, "semi;colon"])
async def test_an_insane_request_id_is_replaced(program: NginxProgram, sent: str) -> None:
    """What could break a log or a header gives way to a new id, the same for all sides."""
    async with Front(program) as front:
        got = await front.get("/v1/x", f"X-Request-ID: {sent}")
        given = front.worker.heard[0].headers["x-request-id"]
    assert given == got.one("X-Request-ID")
    assert len(given) == 32
    assert given != sent


async def test_requests_of_one_id_are_told_apart(program: NginxProgram) -> None:
    """By an id of nginx's own, which no client can choose; without the client's one is enough."""
    claims = ("X-Sluice-Request-ID: mine", "X_Sluice_Request_ID: mine")
    async with Front(program) as front:
        for _ in range(2):
            await front.get("/v1/x", "X-Request-ID: same", *claims)
        await front.get("/v1/x", *claims)
        first, second, without = (heard.headers for heard in front.worker.heard)
    assert {first["x-request-id"], second["x-request-id"]} == {"same"}
    own = {first["x-sluice-request-id"], second["x-sluice-request-id"]}
    assert len(own) == 2
    assert all(len(request_id) == 32 for request_id in own)
    assert "x-sluice-request-id" not in without


async def test_the_worker_learns_who_connected(program: NginxProgram) -> None:
    """Address and scheme of the connection; the client's own claims to be them are overwritten."""
    async with Front(program) as front:
        await front.get("/v1/x", "X-Sluice-Peer: 203.0.113.9", "X-Sluice-Scheme: https")
        heard = front.worker.heard[0].headers
    assert heard["x-sluice-peer"] == "127.0.0.1"
    assert heard["x-sluice-scheme"] == "http"
    assert heard["host"] == "sluice.example"


async def test_path_query_and_odd_headers_pass_unchanged(program: NginxProgram) -> None:
    """It neither decodes nor tidies a path, and drops no header for its underscore."""
    path = "/v1/a%2Fb//c/../d%20e?q=%7B&empty=&x=1"
    async with Front(program) as front:
        await front.get(path, "OpenAI_Beta: yes")
        heard = front.worker.heard[0]
    assert heard.line == f"GET {path} HTTP/1.1"
    assert heard.headers["openai_beta"] == "yes"


async def test_the_names_of_hop_by_hop_headers_reach_the_worker(program: NginxProgram) -> None:
    """What the client's `Connection` names is told to the worker, which drops it."""
    async with Front(program) as front:
        await front.get("/v1/x", "X-Hop: 1")
        heard = front.worker.heard[0]
    assert heard.headers["x-sluice-connection"] == "close"
    assert "connection" not in heard.headers


@pytest.mark.parametrize(
    "path",
    ["/internal/status", "//internal/status", "/v1/../internal/status", "/%69nternal/status"],
)
async def test_what_is_for_the_supervisor_stays_inside(program: NginxProgram, path: str) -> None:
    """No spelling of the workers' internal route passes the public port."""
    async with Front(program) as front:
        got = await front.get(path)
        assert got.status == 404
        assert got.json()["error"]["code"] == "not_found"
        assert front.worker.heard == []


async def test_a_location_is_left_alone(program: NginxProgram) -> None:
    """A redirect or a created resource points where the worker said."""

    async def script(heard: Heard) -> None:
        await heard.say(
            plain(status="202 Accepted", more="Location: http://workers/v1/streams/7\r\n")
        )

    async with Front(program) as front:
        front.worker.script = script
        assert (await front.get()).one("Location") == "http://workers/v1/streams/7"


async def test_http_1_0_needs_no_host(program: NginxProgram) -> None:
    """A health check may leave it out (RFC 9112, 3.2); the worker, asked in 1.1, has one."""
    async with Front(program) as front:
        got = await front.send("GET /readyz HTTP/1.0\r\n\r\n")
        hosts = front.worker.heard[0].headers["host"]
    assert got.status == 200
    assert hosts == "localhost"


async def test_http_1_1_needs_one(program: NginxProgram) -> None:
    """What is no legal request gets no name made up for it."""
    async with Front(program) as front:
        got = await front.send("GET /readyz HTTP/1.1\r\nConnection: close\r\n\r\n")
        assert front.worker.heard == []
    assert got.status == 400
