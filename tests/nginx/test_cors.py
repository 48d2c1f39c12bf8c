from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.nginx.front import Front, Heard, plain

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

APP = "https://app.example"
PREFLIGHT = (
    f"Origin: {APP}",
    "Access-Control-Request-Method: POST",
    "Access-Control-Request-Headers: authorization, content-type, x-stainless-os",
)


async def upstream_allows_itself(heard: Heard) -> None:
    """An upstream with CORS headers of its own, and a Vary."""
    await heard.say(
        plain(
            more="Access-Control-Allow-Origin: https://upstream.example\r\n"
            "Access-Control-Allow-Credentials: true\r\n"
            "Access-Control-Expose-Headers: X-Theirs\r\nVary: Accept\r\n"
        )
    )


@pytest.mark.parametrize("origins", [("*",), (APP, "http://localhost:3000")])
async def test_a_preflight_is_answered_before_anything_else(
    program: NginxProgram, origins: tuple[str, ...]
) -> None:
    """No worker is asked, and what the browser asked for is granted by name."""
    async with Front(program, cors_origins=origins) as front:
        got = await front.get("/v1/chat/completions", *PREFLIGHT, method="OPTIONS")
        assert front.worker.heard == []
    assert got.status == 204
    assert got.one("Access-Control-Allow-Origin") == ("*" if origins == ("*",) else APP)
    assert got.one("Access-Control-Allow-Headers") == "authorization, content-type, x-stainless-os"
    assert "DELETE" in got.one("Access-Control-Allow-Methods")
    assert int(got.one("Access-Control-Max-Age")) > 0
    assert got.one("Vary") == "Origin"


@pytest.mark.parametrize("origins", [(), ("https://other.example",)], ids=["none", "others"])
async def test_a_preflight_from_elsewhere_is_granted_nothing(
    program: NginxProgram, origins: tuple[str, ...]
) -> None:
    """An origin that is not named gets no permission, and its preflight reaches no upstream."""
    async with Front(program, cors_origins=origins) as front:
        got = await front.get("/v1/x", *PREFLIGHT, method="OPTIONS")
        assert front.worker.heard == []
    assert got.status == 204
    assert "access-control" not in got.head.lower()


async def test_an_options_that_is_no_preflight_passes(program: NginxProgram) -> None:
    """Only a browser's question is answered here; a plain OPTIONS is the upstream's."""
    async with Front(program, cors_origins=("*",)) as front:
        await front.get("/v1/x", method="OPTIONS")
        assert front.worker.heard[0].line.startswith("OPTIONS /v1/x")


async def test_there_is_one_allowed_origin_and_it_is_ours(program: NginxProgram) -> None:
    """Whatever the upstream says about origins is replaced; its own Vary stays."""
    async with Front(program, cors_origins=(APP,)) as front:
        front.worker.script = upstream_allows_itself
        got = await front.get("/v1/x", f"Origin: {APP}")
    assert got.one("Access-Control-Allow-Origin") == APP
    assert got.all("Access-Control-Allow-Credentials") == []
    assert sorted(got.all("Vary")) == ["Accept", "Origin"]
    exposed = got.one("Access-Control-Expose-Headers").lower()
    for name in ("x-request-id", "retry-after", "server-timing", "x-ratelimit-remaining-tokens"):
        assert name in exposed


async def test_another_origin_is_told_nothing_but_that_it_matters(program: NginxProgram) -> None:
    """A cache must know that the answer would differ for an origin that is allowed."""
    async with Front(program, cors_origins=(APP,)) as front:
        front.worker.script = upstream_allows_itself
        got = await front.get("/v1/x", "Origin: https://evil.example")
    assert got.all("Access-Control-Allow-Origin") == []
    assert "Origin" in got.all("Vary")


async def test_without_origins_nobody_else_may_call(program: NginxProgram) -> None:
    """Unset means closed, even if the upstream would allow everybody."""
    async with Front(program) as front:
        front.worker.script = upstream_allows_itself
        got = await front.get("/v1/x", f"Origin: {APP}")
    assert "access-control" not in got.head.lower()


async def test_errors_carry_it_too(program: NginxProgram) -> None:
    """A page can read why it was refused: nginx's own error has one allowed origin as well."""
    async with Front(program, cors_origins=(APP,)) as front:
        await front.worker.stop()
        got = await front.get("/v1/x", f"Origin: {APP}")
    assert got.status == 503
    assert got.one("Access-Control-Allow-Origin") == APP
    assert "retry-after" in got.one("Access-Control-Expose-Headers").lower()
