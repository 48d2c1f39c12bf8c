"""What nginx keeps away: too much from one address, clients without a certificate, plain HTTP."""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.nginx.front import Front, Heard, Wire, plain
from tests.nginx.pem import ONE, TWO, Pair, ending

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.appliance.nginx_program import NginxProgram

TLS: dict[str, Any] = {"tls_certificate": ONE.certificate, "tls_key": ONE.key}


@pytest.mark.parametrize(
    ("path", "kind"),
    [("/v1/chat/completions", "requests"), ("/v1/messages", "rate_limit_error")],
)
async def test_too_many_requests_a_second(program: NginxProgram, path: str, kind: str) -> None:
    """Beyond the burst 429 in the family's shape with a time to wait; health is always told."""
    async with Front(program, address_requests_per_second=1) as front:
        got = [await front.get(path) for _ in range(6)]
        assert (await front.get("/readyz")).status == 200
    refused = [response for response in got if response.status != 200]
    assert got[0].status == 200
    assert refused
    assert {response.status for response in refused} == {429}
    assert refused[0].json()["error"]["type"] == kind
    assert refused[0].json()["error"]["code"] == "rate_limited"
    assert refused[0].one("Retry-After") == "1"


async def test_too_many_requests_at_once(program: NginxProgram) -> None:
    """One that runs holds its place until it ends; then the next one is let in."""
    go = asyncio.Event()

    async def slow(heard: Heard) -> None:
        await go.wait()
        await heard.say(plain())

    async with Front(program, address_connections=1) as front:
        front.worker.script = slow
        running = asyncio.create_task(front.get("/v1/x"))
        await front.worker.arrival()
        assert (await front.get("/v1/x")).status == 429
        go.set()
        assert (await running).status == 200


async def test_each_client_behind_a_trusted_proxy_has_a_limit_of_its_own(
    program: NginxProgram,
) -> None:
    """By either header; who is not trusted cannot choose whose limit it uses."""
    names = ["X-Forwarded-For: 192.0.2.{}", "Forwarded: for=198.51.100.{};proto=https"]
    for trusted, refused in ((("127.0.0.0/8",), 0), ((), 1)):
        settings: dict[str, Any] = {"address_requests_per_second": 1, "trusted_proxies": trusted}
        async with Front(program, **settings) as front:
            for name in names:
                got = [(await front.get("/v1/x", name.format(n))).status for n in range(6)]
                assert (429 in got) is bool(refused), (trusted, name, got)


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        ("2001:db8:1:2::1", "2001:db8:1:2:3:4:5:6", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("2001:db8:1::1", "2001:db8:1:0:3:4:5:6", True),
        ("2001:db8:1::1", "2001:db8:1:1::1", False),
        ("2001:db8::1", "2001:db8::3:4:5:6", True),
        ("2001:db8::1", "2001:db8:0:0:1::", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fd00::1", "fd00::3:4:5:6", True),
        ("2001:db8::1", "2001:db9::1", False),
        ("192.0.2.1", "192.0.2.2", False),
    ],
)
async def test_a_client_of_ipv6_has_one_limit(
    program: NginxProgram, first: str, second: str, together: bool
) -> None:
    """Its /64 is one client, however its addresses are written; the next /64 is another."""
    settings: dict[str, Any] = {"address_connections": 1, "trusted_proxies": ("127.0.0.0/8",)}
    go = asyncio.Event()

    async def slow(heard: Heard) -> None:
        if heard.line.startswith("GET /v1/held"):
            await go.wait()
        await heard.say(plain())

    async with Front(program, **settings) as front:
        front.worker.script = slow
        running = asyncio.create_task(front.get("/v1/held", f"X-Forwarded-For: {first}"))
        await front.worker.arrival()
        got = await front.get("/v1/x", f"X-Forwarded-For: {second}")
        assert (got.status == 429) is together
        go.set()
        assert (await running).status == 200


async def test_the_proxy_protocol_tells_who_connected(program: NginxProgram) -> None:
    """Of a trusted balancer it is believed; what the request itself says then counts for less."""
    asked = "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\nGET /v1/x HTTP/1.0\r\n\r\n"
    for trusted, address in (("127.0.0.0/8", "192.0.2.7"), ("10.0.0.0/8", "127.0.0.1")):
        async with Front(program, proxy_protocol=True, trusted_proxies=(trusted,)) as front:
            assert (await front.send(asked)).status == 200
            assert front.worker.heard[0].headers["x-sluice-peer"] == address


async def test_a_client_certificate_is_wanted(program: NginxProgram, tmp_path: Path) -> None:
    """None and another CA's are refused before a worker hears of it; the right one is served."""
    expired = Pair(ending(TWO, tmp_path, b"20010101000000Z"), TWO.key)
    rows = ((None, "NONE"), (ONE, "self"), (expired, "expired"), (TWO, ""))
    async with Front(program, **TLS, tls_client_ca=TWO.certificate) as front:
        for pair, why in rows:
            context = ssl.create_default_context(cafile=ONE.certificate)
            if pair is not None:
                context.load_cert_chain(pair.certificate, pair.key)
            async with httpx.AsyncClient(verify=context) as client:
                answer = await client.get(f"https://localhost:{front.tls_port}/v1/x")
            assert answer.status_code == (400 if why else 200)
            if why:
                assert answer.json()["error"]["code"] == "client_certificate_required"
                assert why in answer.json()["error"]["message"]
        assert len(front.worker.heard) == 1


async def test_browsers_are_told_to_stay_with_tls(program: NginxProgram) -> None:
    """On TLS only, for as long as is set, on errors too; without the setting never."""
    context = ssl.create_default_context(cafile=ONE.certificate)
    for seconds, header in ((600, "max-age=600"), (0, None)):
        async with Front(program, **TLS, hsts_seconds=seconds) as front:
            assert "strict-transport-security" not in str((await front.get("/v1/x")).head).lower()
            async with httpx.AsyncClient(verify=context) as client:
                for path in ("/v1/x", "/internal/x"):
                    answer = await client.get(f"https://localhost:{front.tls_port}{path}")
                    assert answer.headers.get("strict-transport-security") == header


async def test_the_proxy_protocol_before_tls(program: NginxProgram) -> None:
    """The preamble comes first and in the clear, as balancers send it; then the handshake."""
    settings: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": ("127.0.0.0/8",)}
    context = ssl.create_default_context(cafile=ONE.certificate)
    async with Front(program, **TLS, **settings) as front:
        reader, writer = await asyncio.open_connection("127.0.0.1", front.tls_port)
        writer.write(b"PROXY TCP6 2001:db8::7 2001:db8::1 4711 443\r\n")
        await writer.start_tls(context, server_hostname="localhost")
        wire = Wire(reader, writer)
        await wire.say("GET /v1/x HTTP/1.0\r\n\r\n")
        assert (await wire.rest()).status == 200
        heard = front.worker.heard[0].headers
        assert (heard["x-sluice-peer"], heard["x-sluice-scheme"]) == ("2001:db8::7", "https")


@pytest.mark.parametrize("sent", ["", "PROXY TCP4 192.0.2.7 127.0.0.1 4711 80\r\n", "\x16\x03\x01"])
@pytest.mark.parametrize("way", ["TLS", "PROXY"])
async def test_who_begins_and_says_no_more_is_left(
    program: NginxProgram, way: str, sent: str
) -> None:
    """A handshake or a preamble has no more time than a head has."""
    settings: dict[str, Any] = TLS
    if way == "PROXY":
        settings = {"proxy_protocol": True, "trusted_proxies": ("127.0.0.0/8",)}
    async with Front(program, **settings, header_timeout_seconds=1) as front:
        port = front.tls_port if way == "TLS" else front.port
        wire = Wire(*await asyncio.open_connection("127.0.0.1", port))
        await wire.say(sent)
        assert "200" not in (await wire.rest()).raw
        assert not front.worker.heard
