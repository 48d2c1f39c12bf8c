"""What one address may ask of a whole appliance, and how it is told that it was too much."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.appliances import ORIGIN
from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, eventually
from tests.integration.raw import Line, Whole, ask_chat, exchange, request

RATE = 2
AT_ONCE = 3


@pytest.fixture(scope="module")
def gateway(upstream: gateways.Upstream) -> Iterator[RunningGateway]:
    """An appliance behind a proxy, so that each test has addresses of its own."""
    with (
        gateways.appliance(
            upstream,
            trusted_proxies="127.0.0.1",
            address_requests_per_second=RATE,
            address_connections=AT_ONCE,
            cors_origins=ORIGIN,
            access_log="own",
        ) as started,
    ):
        yield started


async def ask(gateway: RunningGateway, target: str, client: str, request_id: str) -> Whole:
    """A browser's request, as a proxy passes it on."""
    fields = [
        ("X-Forwarded-For", client),
        ("Origin", ORIGIN),
        ("Sec-Fetch-Site", "cross-site"),
        ("X-Request-ID", request_id),
    ]
    return await exchange(gateway.url, request("POST", target, b"{}", fields))


FAMILIES: dict[str, dict[str, Any]] = {
    "/v1/embeddings": {"type": "requests", "code": "rate_limited"},
    "/v1/messages": {"type": "rate_limit_error", "code": "rate_limited"},
    "/v1beta/models/m:generateContent": {"status": "RESOURCE_EXHAUSTED", "code": 429},
}


@pytest.mark.parametrize("target", FAMILIES)
async def test_too_many_a_second(gateway: RunningGateway, target: str) -> None:
    """429 in the family's shape, which a page may read, with a time to wait; and counted."""
    client = f"192.0.2.{list(FAMILIES).index(target) + 1}"
    for number in range(40):
        answer = await ask(gateway, target, client, f"{client}-{number}")
        if answer.status == 429:
            break
    assert answer.status == 429
    assert number > RATE
    error = answer.json()["error"]
    assert error.items() >= FAMILIES[target].items()
    assert f"{client}-{number}" in answer.body.decode()
    assert answer.headers["Retry-After"] == "1"
    assert answer.headers["X-Request-ID"] == f"{client}-{number}"
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "retry-after" in answer.headers["Access-Control-Expose-Headers"].lower()
    # Others are not held back, nor are those who only ask how it is.
    assert (await ask(gateway, target, f"{client}00", "")).status != 429
    for _ in range(3 * RATE):
        probe = request("GET", "/readyz", fields=[("X-Forwarded-For", client)])
        assert (await exchange(gateway.url, probe, method="GET")).status == 200
    line = await logged(gateway, f"{client}-{number}")
    assert (line["client"], line["status"]) == (client, 429)
    await eventually(lambda: is_counted(gateway, target), "it is not counted")


async def logged(gateway: RunningGateway, request_id: str) -> dict[str, Any]:
    """What nginx wrote of a request, which no worker has seen."""
    entries: list[dict[str, Any]] = []

    async def written() -> bool:
        lines = [line for line in gateway.process.lines if f'"{request_id}"' in line]
        entries[:] = map(json.loads, lines)
        return bool(entries)

    await eventually(written, "there is no line of it")
    (line,) = entries
    return line


async def is_counted(gateway: RunningGateway, target: str) -> bool:
    async with httpx.AsyncClient() as client:
        text = (await client.get(gateway.admin_url + "/metrics")).text
    route = "generateContent" if "generateContent" in target else target
    return any(
        line.startswith("sluice_requests_total{")
        and 'ended_by="limited"' in line
        and 'status="429"' in line
        and route in line
        for line in text.splitlines()
    )


async def test_too_many_at_once(gateway: RunningGateway) -> None:
    """Streams that run count, whatever connection they are on; one that ended makes room."""
    fields = [("X-Forwarded-For", "198.51.100.7")]
    lines = []
    try:
        for _ in range(AT_ONCE):
            lines.append(await Line.open(gateway.url))
            assert (await lines[-1].ask(ask_chat("tokens=100000;rate=20", fields))).status == 200
        refused = await exchange(gateway.url, ask_chat("tokens=1", fields))
        assert refused.status == 429
        assert refused.headers["Retry-After"] == "1"
        lines.pop().leave()

        async def let_in() -> bool:
            return (await exchange(gateway.url, ask_chat("tokens=1", fields))).status == 200

        await eventually(let_in, "the place is not free again")
    finally:
        for line in lines:
            line.leave()


async def test_a_preflight_is_no_request(gateway: RunningGateway) -> None:
    """A browser's question before each of its requests costs none of them."""
    fields = [
        ("X-Forwarded-For", "198.51.100.9"),
        ("Origin", ORIGIN),
        ("Access-Control-Request-Method", "POST"),
    ]
    for _ in range(4 * RATE):
        asked = request("OPTIONS", "/v1/chat/completions", fields=fields)
        assert (await exchange(gateway.url, asked, method="OPTIONS")).status == 204
