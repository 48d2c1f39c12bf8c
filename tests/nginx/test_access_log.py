from __future__ import annotations

from typing import TYPE_CHECKING

from tests.nginx.front import Front

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram


async def test_a_line_says_who_what_and_how_long(program: NginxProgram) -> None:
    """Each request is one JSON line with its id and the worker's times, and without its query."""
    async with Front(program) as front:
        await front.get(
            '/v1/models?key=AIza"secret', "X-Request-ID: r-1", "Referer: http://s?key=k"
        )
        (line,) = await front.access_log()
    assert line["event"] == "access"
    assert line["request_id"] == "r-1"
    assert line["path"] == "/v1/models"
    assert line["status"] == 200
    assert line["worker_status"] == "200"
    assert float(line["worker_header"]) >= 0
    assert line["worker"].endswith("worker-0.sock")
    assert not any(secret in str(line) for secret in ("AIza", "key="))


async def test_probes_are_not_logged(program: NginxProgram) -> None:
    """Health checks every few seconds leave no trace between the requests."""
    async with Front(program) as front:
        await front.get("/healthz")
        await front.get("/readyz?from=lb")
        await front.get("/v1/x")
        assert [line["path"] for line in await front.access_log()] == ["/v1/x"]


async def test_own_means_what_no_worker_answered(program: NginxProgram) -> None:
    """With `own`, the worker's log has the rest: only nginx's own answers are here."""
    async with Front(program, access_log="own") as front:
        await front.get("/v1/x")
        await front.get("/internal/y")
        assert [line["path"] for line in await front.access_log()] == ["/internal/y"]


async def test_off_means_nothing(program: NginxProgram) -> None:
    """With `off` nothing is written, not even what nginx refuses."""
    async with Front(program, access_log="off") as front:
        await front.get("/v1/x")
        await front.send("garbage\r\n\r\n")
        assert await front.access_log() == []
