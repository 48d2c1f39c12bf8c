"""Who the client is to a whole appliance: in its two logs, in its limits, and to its upstream."""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterable, Iterator

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.gateways import RunningGateway, Upstream, eventually
from tests.integration.raw import BrokenOff, Fields, Line, Whole, ask_chat, request

Logged = dict[str, dict[str, str]]

TRUSTED = "127.0.0.0/8,10.0.0.0/8,2001:db8:aa::/48"
AT_ONCE = 2
V2 = b"\r\n\r\n\x00\r\nQUIT\n"
"""What every preamble of version 2 begins with (haproxy.org, "The PROXY protocol", 2.2)."""
SPOOFED = [("X-Forwarded-For", "6.6.6.6"), ("Forwarded", "for=6.6.6.6"), ("X-Real-IP", "6.6.6.6")]


def version_2(family: int, source: str, *, command: int = 0x21) -> bytes:
    """A preamble in binary; `family` is a socket's, 0 for none."""
    if not family:
        return V2 + bytes((command, 0x00, 0, 0))
    destination = "::1" if family == socket.AF_INET6 else "127.0.0.1"
    packed = [socket.inet_pton(family, address) for address in (source, destination)]
    addresses = b"".join(packed) + (4711).to_bytes(2) + (80).to_bytes(2)
    protocol = 0x21 if family == socket.AF_INET6 else 0x11
    return V2 + bytes((command, protocol)) + len(addresses).to_bytes(2) + addresses


def version_1(source: str) -> bytes:
    """A preamble in text."""
    family, end = ("TCP6", "::1") if ":" in source else ("TCP4", "127.0.0.1")
    return f"PROXY {family} {source} {end} 4711 80\r\n".encode()


@pytest.fixture(scope="module")
def behind_balancer(upstream: Upstream) -> Iterator[RunningGateway]:
    """An appliance to which a balancer speaks the PROXY protocol."""
    with gateways.appliance(
        upstream, proxy_protocol=True, trusted_proxies=TRUSTED, address_connections=AT_ONCE
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def behind_proxy(upstream: Upstream) -> Iterator[RunningGateway]:
    """An appliance behind proxies that name the client in a header; upstreams are told, too."""
    with gateways.appliance(
        upstream,
        trusted_proxies=TRUSTED,
        forward_client_address=True,
        address_connections=AT_ONCE,
    ) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def on_its_own(upstream: Upstream) -> Iterator[RunningGateway]:
    """An appliance that trusts nobody in front of it."""
    with gateways.appliance(
        upstream, forward_client_address=True, address_connections=AT_ONCE
    ) as gateway:
        yield gateway


async def asked(
    gateway: RunningGateway, request_id: str, fields: Fields, preamble: bytes = b""
) -> Whole:
    """One request that the upstream repeats, after what a balancer says first."""
    named = [("X-Request-ID", request_id), *fields]
    async with await Line.open(gateway.url) as line:
        return await line.whole(preamble + request("POST", "/v1/echo", b"x", named))


async def clients_logged(gateway: RunningGateway, request_ids: Iterable[str]) -> Logged:
    """By the request's id, the client's address in the worker's line and in nginx's."""
    wanted = set(request_ids)
    logged: Logged = {}

    async def all_are() -> bool:
        for text in gateway.process.lines:
            line = json.loads(text) if text.startswith("{") else {}
            if (request_id := line.get("request_id")) in wanted:
                logged.setdefault(request_id, {})[line["event"]] = line["client"]
        return sum(map(len, logged.values())) == 2 * len(wanted)

    await eventually(all_are, f"not in both logs: {wanted - logged.keys()}")
    return logged


def both(client: str) -> dict[str, str]:
    """The same in the two logs."""
    return {"request": client, "access": client}


PREAMBLES = {
    "text-of-IPv4": (version_1("192.0.2.7"), "192.0.2.7"),
    "text-of-IPv6": (version_1("2001:db8::7"), "2001:db8::7"),
    "text-without-an-address": (b"PROXY UNKNOWN\r\n", "127.0.0.1"),
    "binary-of-IPv4": (version_2(socket.AF_INET, "192.0.2.8"), "192.0.2.8"),
    "binary-of-IPv6": (version_2(socket.AF_INET6, "2001:db8::8"), "2001:db8::8"),
    "binary-of-the-balancer-itself": (version_2(0, "", command=0x20), "127.0.0.1"),
}


async def test_a_balancer_tells_who_connected(behind_balancer: RunningGateway) -> None:
    """Both logs have that address, whatever the client's own fields claim."""
    for name, (preamble, client) in PREAMBLES.items():
        fields: Fields = SPOOFED if client != "127.0.0.1" else []
        answer = await asked(behind_balancer, name, fields, preamble)
        assert answer.status == 200, name
        assert b"6.6.6.6" not in answer.body, name
    expected = {name: both(client) for name, (_, client) in PREAMBLES.items()}
    assert await clients_logged(behind_balancer, PREAMBLES) == expected


@pytest.mark.parametrize(
    "preamble",
    [
        b"",
        b"PROXY\r\n",
        b"PROXY TCP4 192.0.2.7\r\n",
        b"PROXY TCP4 " + b"1" * 200 + b"\r\n",
        b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 80 ",
        V2 + b"\x11\x11\x00\x0c" + b"\x00" * 12,
        V2[:-1] + b"X\x21\x11\x00\x00",
    ],
    ids=["none", "no family", "half", "long", "no end", "version 1 in binary", "no signature"],
)
async def test_who_does_not_speak_it_is_not_served(
    behind_balancer: RunningGateway, preamble: bytes
) -> None:
    """The connection ends without an answer of a worker: it came around the balancer."""
    request_id = f"unserved-{preamble[:20].hex()}"
    with contextlib.suppress(BrokenOff):
        assert (await asked(behind_balancer, request_id, [], preamble)).status == 400
    assert not [line for line in behind_balancer.process.ended if line == request_id]
    # And the next one is served as if nothing had been.
    assert (await asked(behind_balancer, "", [], version_1("192.0.2.1"))).status == 200


FIELDS = {
    "one": ([("X-Forwarded-For", "192.0.2.7")], "192.0.2.7"),
    "several": ([("X-Forwarded-For", "6.6.6.6, 192.0.2.7, 10.1.2.3")], "192.0.2.7"),
    "several-lines": (
        [("X-Forwarded-For", "6.6.6.6, 192.0.2.7"), ("X-Forwarded-For", "10.1.2.3")],
        "192.0.2.7",
    ),
    "all-trusted": ([("X-Forwarded-For", "10.1.2.3, 10.1.2.4")], "10.1.2.3"),
    "IPv6": ([("X-Forwarded-For", "2001:db8::7, 2001:db8:aa::1")], "2001:db8::7"),
    "with-a-port": ([("X-Forwarded-For", "192.0.2.7:4711")], "192.0.2.7"),
    "IPv4-in-IPv6": ([("X-Forwarded-For", "::ffff:192.0.2.9")], "192.0.2.9"),
    "IPv6-with-a-port": ([("X-Forwarded-For", "[2001:db8::7]:4711")], "2001:db8::7"),
    "no-address": ([("X-Forwarded-For", "unknown")], "127.0.0.1"),
    "no-address-before-one": ([("X-Forwarded-For", "evil, 192.0.2.7")], "192.0.2.7"),
    "no-address-within": ([("X-Forwarded-For", "6.6.6.6, evil, 10.1.2.3")], "10.1.2.3"),
    "markup": ([("X-Forwarded-For", "<script>, 1.2.3.4.5, 999.1.1.1")], "127.0.0.1"),
    "empty": ([("X-Forwarded-For", "")], "127.0.0.1"),
    "forwarded": (
        [("Forwarded", 'for=6.6.6.6;proto=https, for="[2001:db8::9]:17011"')],
        "2001:db8::9",
    ),
    "forwarded-by-a-hostile-client": (
        [("Forwarded", "for=6.6.6.6;" * 500 + ","), ("Forwarded", "for=6.6.6.7;" * 80 + ",=")],
        "127.0.0.1",
    ),
    "forwarded-with-a-port": ([("Forwarded", 'for="192.0.2.7:17011"')], "192.0.2.7"),
    "half-quoted": ([("Forwarded", 'for="192.0.2.7')], "127.0.0.1"),
    "both": ([("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=6.6.6.6")], "192.0.2.7"),
}


async def test_a_trusted_proxy_names_the_client(behind_proxy: RunningGateway) -> None:
    """The last address that is not trusted; what cannot be read ends the chain."""
    for name, (fields, _) in FIELDS.items():
        assert (await asked(behind_proxy, name, fields)).status == 200, name
    expected = {name: both(client) for name, (_, client) in FIELDS.items()}
    assert await clients_logged(behind_proxy, FIELDS) == expected


async def test_what_strangers_claim_goes_nowhere(on_its_own: RunningGateway) -> None:
    """Neither into a log nor to the upstream, which gets the true address instead."""
    answer = await asked(on_its_own, "spoofed", SPOOFED)
    assert b"6.6.6.6" not in answer.body
    arrived = {name.lower(): value for name, value in answer.json()["headers"]}
    assert arrived["x-forwarded-for"] == "127.0.0.1"
    assert "forwarded" not in arrived
    assert "x-real-ip" not in arrived
    assert await clients_logged(on_its_own, ["spoofed"]) == {"spoofed": both("127.0.0.1")}


@contextlib.asynccontextmanager
async def holding(url: str, sent: bytes) -> AsyncIterator[None]:
    """As many streams of one client as it may have."""
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(AT_ONCE):
            line = await stack.enter_async_context(await Line.open(url))
            assert (await line.ask(sent)).status == 200
        yield


ENDLESS = "tokens=100000;rate=20"


async def test_limits_go_by_who_is_believed_to_ask(
    behind_balancer: RunningGateway, behind_proxy: RunningGateway
) -> None:
    """One client's limit is nobody else's, be it named by a balancer or by a proxy."""
    rows: list[tuple[RunningGateway, Callable[[str, str], bytes]]] = [
        (behind_balancer, lambda who, words: version_1(who) + ask_chat(words)),
        (behind_proxy, lambda who, words: ask_chat(words, [("X-Forwarded-For", who)])),
    ]
    for gateway, sent in rows:
        async with holding(gateway.url, sent("192.0.2.7", ENDLESS)):
            for who, status in (("192.0.2.7", 429), ("192.0.2.8", 200), ("2001:db8::7", 200)):
                async with await Line.open(gateway.url) as line:
                    answer = await line.whole(sent(who, "tokens=1"))
                assert answer.status == status, (gateway.url, who)


async def test_nobody_escapes_a_limit_by_a_claim(on_its_own: RunningGateway) -> None:
    """A new address in each request is the same client still."""
    fields: list[Fields] = [
        [("X-Forwarded-For", "192.0.2.1")],
        [("Forwarded", "for=192.0.2.2")],
        [("X-Real-IP", "192.0.2.3")],
        [("X-Sluice-Peer", "192.0.2.4")],
    ]
    async with holding(on_its_own.url, ask_chat(ENDLESS)):
        for claim in fields:
            async with await Line.open(on_its_own.url) as line:
                assert (await line.whole(ask_chat("tokens=1", claim))).status == 429, claim
