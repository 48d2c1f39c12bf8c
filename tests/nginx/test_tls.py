from __future__ import annotations

import asyncio
import socket
import ssl
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.nginx.front import EVENTS, Front, Heard
from tests.nginx.pem import ONE

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

TLS: dict[str, Any] = {"tls_certificate": ONE.certificate, "tls_key": ONE.key}


def trusting() -> ssl.SSLContext:
    """A client that trusts the test certificate."""
    return ssl.create_default_context(cafile=ONE.certificate)


async def two_events(heard: Heard) -> None:
    """A whole stream."""
    await heard.say(EVENTS + "\r\n")
    await heard.chunk("data: 1\n\n")
    await heard.chunk("data: 2\n\n")
    await heard.say("0\r\n\r\n")


async def cut(heard: Heard) -> None:
    """A stream without its end."""
    await heard.say(EVENTS + "\r\n")
    await heard.chunk("data: 1\n\n")
    heard.writer.close()


@pytest.mark.parametrize("http2", [True, False], ids=["h2", "h1"])
async def test_a_stream_over_tls(program: NginxProgram, http2: bool) -> None:
    """HTTP/2 is offered and used, HTTP/1.1 still works, and the worker is told it was https."""
    async with Front(program, **TLS) as front:
        front.worker.script = two_events
        async with httpx.AsyncClient(http2=http2, verify=trusting()) as client:
            answer = await client.get(f"https://localhost:{front.tls_port}/v1/x")
        assert front.worker.heard[0].headers["x-sluice-scheme"] == "https"
        assert front.worker.heard[0].headers["host"] == f"localhost:{front.tls_port}"
    assert answer.http_version == ("HTTP/2" if http2 else "HTTP/1.1")
    assert answer.text == "data: 1\n\ndata: 2\n\n"
    assert answer.headers["x-accel-buffering"] == "no"


async def test_a_cut_over_http2_is_a_reset(program: NginxProgram) -> None:
    """The stream ends with an error frame, so a client cannot take it for whole."""
    async with Front(program, **TLS) as front:
        front.worker.script = cut
        async with httpx.AsyncClient(http2=True, verify=trusting()) as client:
            with pytest.raises(httpx.RemoteProtocolError):
                await client.get(f"https://localhost:{front.tls_port}/v1/x")


async def test_many_streams_share_one_connection(program: NginxProgram) -> None:
    """Two hundred streams of one client run at once over one HTTP/2 connection."""
    held = asyncio.Event()

    async def hold(heard: Heard) -> None:
        await held.wait()
        await two_events(heard)

    async with Front(program, **TLS) as front:
        front.worker.script = hold
        limits = httpx.Limits(max_connections=1)
        async with (
            httpx.AsyncClient(http2=True, verify=trusting(), limits=limits) as client,
            asyncio.TaskGroup() as group,
            asyncio.timeout(20),
        ):
            url = f"https://localhost:{front.tls_port}/v1/x"
            answers = [group.create_task(client.get(url)) for _ in range(200)]
            # httpx itself keeps no more than a hundred streams in one connection.
            while len(front.worker.heard) < 100:
                await asyncio.sleep(0.01)
            held.set()
    assert all(answer.result().status_code == 200 for answer in answers)


async def test_plain_http_on_the_tls_port_is_told_so(program: NginxProgram) -> None:
    """Who forgot the s gets a JSON error, not an HTML page."""
    async with Front(program, **TLS) as front, httpx.AsyncClient() as client:
        answer = await client.get(f"http://localhost:{front.tls_port}/v1/x")
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_both_versions_of_today_are_spoken(
    program: NginxProgram, version: ssl.TLSVersion
) -> None:
    """A client that can do only one of TLS 1.2 and 1.3 is served."""
    only = trusting()
    only.minimum_version = only.maximum_version = version
    async with Front(program, **TLS) as front:
        _, writer = await asyncio.open_connection("localhost", front.tls_port, ssl=only)
        assert writer.get_extra_info("ssl_object").version() == version.name.replace("_", ".")
        writer.close()


async def test_a_returning_client_skips_the_costly_half(program: NginxProgram) -> None:
    """The second connection of a client takes up the session of its first."""
    resuming = trusting()
    resuming.maximum_version = ssl.TLSVersion.TLSv1_2
    async with Front(program, **TLS) as front:
        assert await asyncio.to_thread(_second_is_resumed, resuming, front.tls_port)


def _second_is_resumed(context: ssl.SSLContext, port: int) -> bool:
    def connected(session: ssl.SSLSession | None) -> ssl.SSLSocket:
        plain = socket.create_connection(("localhost", port), timeout=5)
        return context.wrap_socket(plain, server_hostname="localhost", session=session)

    with connected(None) as first, connected(first.session) as second:
        return bool(second.session_reused)


async def test_without_a_certificate_there_is_no_tls_port(program: NginxProgram) -> None:
    """Nothing listens on the TLS port until there is something to show."""
    async with Front(program) as front:
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", front.tls_port)
