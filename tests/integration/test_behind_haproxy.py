"""Behind a real haproxy: one of two appliances is stopped, and the PROXY protocol is spoken."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import ssl
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fixtures.ports import free_port
from tests.integration.conftest import until
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, eventually

pytestmark = pytest.mark.balancer

INTERVAL_SECONDS = 3
CONFIGURATION = """
defaults
    mode http
    timeout connect 2s
    timeout client 60s
    timeout server 60s
    option httpchk GET /readyz
frontend public
    bind 127.0.0.1:{port}
    default_backend sluice
backend sluice
    default-server inter {interval}s fall 1 rise 1 {option}
    server a 127.0.0.1:{a} check
    server b 127.0.0.1:{b} check
"""
TLS = ssl.create_default_context()
"""One for all: to read the system's certificates takes a busy machine a tenth of a second."""


@contextlib.contextmanager
def haproxy(folder: Path, a: str, b: str, *, option: str = "") -> Iterator[str]:
    port = free_port()
    file = folder / "haproxy.cfg"
    a, b = (url.rpartition(":")[2] for url in (a, b))
    file.write_text(
        CONFIGURATION.format(port=port, interval=INTERVAL_SECONDS, a=a, b=b, option=option)
    )
    with subprocess.Popen(["haproxy", "-db", "-f", str(file)]) as process:
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            process.kill()


async def one_more(url: str, number: int, seen: Counter[str]) -> None:
    """A new request with a stream of about a second; what it saw is counted."""
    body = {"model": "demo;tokens=20;rate=20", "stream": True, "messages": []}
    await asyncio.sleep(number * 0.05)
    try:
        async with httpx.AsyncClient(timeout=30, verify=TLS) as client:
            answer = await client.post(f"{url}/v1/chat/completions", json=body)
    except httpx.TransportError as error:
        seen["cut" if isinstance(error, httpx.RemoteProtocolError) else "refused"] += 1
        return
    if answer.status_code != 200:
        seen[f"{answer.status_code}"] += 1
    else:
        seen["complete" if "[DONE]" in answer.text else "cut"] += 1


async def test_nobody_is_refused_and_nothing_is_cut(tmp_path: Path) -> None:
    """Lame for longer than the balancer's interval, the stopped appliance costs no client."""
    seen: Counter[str] = Counter()
    settings = {"lame_duck_seconds": INTERVAL_SECONDS + 3, "drain_seconds": 30}
    with (
        gateways.upstream() as upstream,
        gateways.appliance(upstream, **settings) as a,
        gateways.appliance(upstream, **settings) as b,
        haproxy(tmp_path, a.url, b.url) as url,
    ):
        await reachable(url)
        requests = [asyncio.create_task(one_more(url, number, seen)) for number in range(240)]
        await until(lambda: served(a) > 0, "the first has served nobody")
        a.process.popen.send_signal(signal.SIGTERM)
        await asyncio.gather(*requests)
        assert await asyncio.to_thread(a.process.popen.wait, 40) == 0
        assert seen == {"complete": 240}
        assert served(b) > 120


@pytest.mark.parametrize("option", ["send-proxy", "send-proxy-v2"])
async def test_its_proxy_protocol_names_the_client(tmp_path: Path, option: str) -> None:
    """In either version: its clients are told apart, and its health checks are answered."""
    clients = {"127.0.0.7": "seventh", "127.0.0.8": "eighth"}
    settings: dict[str, Any] = {"proxy_protocol": True, "trusted_proxies": "127.0.0.1"}
    with (
        gateways.upstream() as upstream,
        gateways.appliance(upstream, **settings) as gateway,
        haproxy(tmp_path, gateway.url, gateway.url, option=option) as url,
    ):
        await reachable(url)
        for address, request_id in clients.items():
            transport = httpx.AsyncHTTPTransport(local_address=address)
            async with httpx.AsyncClient(transport=transport) as client:
                headers = {"X-Request-ID": request_id, "X-Forwarded-For": "192.0.2.66"}
                assert (await client.get(f"{url}/v1/models", headers=headers)).status_code == 200
            assert (await gateway.outcome(request_id))["client"] == address


async def reachable(url: str) -> None:
    async def answers() -> bool:
        async with httpx.AsyncClient() as client:
            with contextlib.suppress(httpx.TransportError):
                return (await client.get(f"{url}/healthz")).status_code == 200
        return False

    await eventually(answers, "haproxy does not serve")


def served(gateway: RunningGateway) -> int:
    return len(gateway.process.ended)
