"""Hostile requests, frames and floods by HTTP/2, through nginx by TLS as operators run it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.fixtures.ports import free_port
from tests.integration.appliances import trusting
from tests.integration.faults import gateways
from tests.integration.faults.gateways import Process, RunningGateway, Upstream
from tests.integration.hostile.asking import MARK, OPERATOR
from tests.integration.hostile.http2_attacks import BROKEN, FLOODS, IGNORED, Broken, Flood
from tests.integration.hostile.http2_fields import FIELDS, LENGTHS
from tests.integration.hostile.http2_frames import Answer, Http2Frames
from tests.integration.hostile.http2_rows import HEADS, Http2Row, get
from tests.integration.hostile.test_requests import answers_all
from tests.integration.hostile.through_nginx import AFTER_DEBIAN_12, every_nginx, http2_as_read
from tests.nginx.pem import ONE
from tests.upstream.peer import Connection, Peer, plain

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram

ROWS = HEADS + FIELDS + LENGTHS
GOOD = get(b"/v1/good")
BATCHES = 100
STALLED = 20
MOST_GROWTH = 64 * 2**20
"""Bytes of memory that a flood may cost nginx."""


@contextmanager
def by_tls(
    nginx: NginxProgram, peer: Peer, **settings: int
) -> Iterator[tuple[RunningGateway, int]]:
    """The appliance before a peer, and its port for TLS."""
    port = free_port()
    with gateways.appliance(
        Upstream(Process(None, peer.url)),  # type: ignore[arg-type] # it runs in the test's loop
        upstream_url=f"{peer.url}/v1",
        upstream_api_key=OPERATOR.decode(),
        nginx_path=nginx.path,
        tls_port=port,
        tls_certificate=ONE.certificate,
        tls_key=ONE.key,
        retries=0,
        eject_after_failures=1000,
        eject_failure_rate=1,
        log_level="debug",
        log_format="json",
        **settings,
    ) as front:
        yield front, port


async def ask_good(client: Http2Frames, stream: int) -> Answer:
    """A good request on a connection."""
    client.send(client.headers(stream, GOOD, "END_HEADERS", "END_STREAM"))
    return await client.answer(stream)


async def nobody_else_is_harmed(port: int) -> str:
    """What is wrong with a good answer on a connection of its own; empty if nothing is."""
    async with await Http2Frames.open(port, trusting()) as client:
        answer = await ask_good(client, 1)
    return "" if answer.status == 200 and answer.whole else f" and then {answer}"


async def wrong_with(port: int, peer: Peer, row: Http2Row) -> str:
    """Ask for a row; then for good answers, on its connection if that goes on, and on another."""
    before = len(peer.heads)
    async with await Http2Frames.open(port, trusting()) as client:
        client.send(client.request(1, row.fields, row.body, row.trailers))
        answer = await client.answer(1)
        wrong = "" if client.closed or (await ask_good(client, 3)).status == 200 else "not good"
        if not client.closed and not answer.status and 0 not in row.statuses:
            wrong = f"the stream is reset with {answer.reset}"
    wrong += await nobody_else_is_harmed(port)
    if answer.status not in row.statuses:
        return f"{answer.status} instead of {row.statuses}: {answer.body[:200]!r}"
    if answer.status >= 400 and not _is_ours(answer):
        return f"it is not in Sluice's words: {answer}"
    return wrong or reached_wrongly(row, peer.heads[before:], peer.bodies[before:])


def _is_ours(answer: Answer) -> bool:
    """Whether it is Sluice's own error, with the id of its head."""
    try:
        error = json.loads(answer.body)["error"]
    except ValueError:
        return False
    return bool(dict(answer.fields)[b"x-request-id"].decode() == error["request_id"])


def reached_wrongly(row: Http2Row, heads: list[bytes], bodies: list[bytes]) -> str:
    """What is wrong with what reached the upstream; empty if nothing is."""
    reached = [
        (head, body)
        for head, body in zip(heads, bodies, strict=True)
        if not head.startswith(b"GET /v1/good HTTP/1.1\r\n")
    ]
    targets = tuple(head.split(b"\r\n")[0].rpartition(b" HTTP/")[0] for head, _ in reached)
    if targets != row.reached:
        return f"{targets} reached it, not {row.reached}"
    received = b"\n".join(head + body for head, body in reached).lower()
    for word in (*row.never, MARK):
        if word in received:
            return f"{word!r} reached it: {received[:400]!r}"
    if row.received is not None and [body for _, body in reached] != [row.received]:
        return f"the body of {reached} is another one"
    return ""


@pytest.mark.timeout(120)
@every_nginx
async def test_a_hostile_request_by_http2_reaches_nobody(nginx: NginxProgram) -> None:
    """Each gets its status or is broken off; what reaches the upstream is what should."""
    async with Peer(answers_all) as peer:
        with by_tls(nginx, peer) as (front, port):
            rows = [http2_as_read(row, nginx) for row in ROWS]
            complaints = {row.name: await wrong_with(port, peer, row) for row in rows}
        leaks = [
            line for line in front.process.lines for key in (MARK, OPERATOR) if key.decode() in line
        ]
    wrong = {name: complaint for name, complaint in complaints.items() if complaint}
    assert not wrong, "\n".join(f"{name}: {complaint}" for name, complaint in wrong.items())
    assert not leaks, leaks[:5]
    assert len({row.name for row in ROWS}) == len(ROWS) >= 100


async def broken_wrongly(port: int, row: Broken) -> str:
    """What is wrong with how a connection ends, or goes on, after some frames."""
    async with await Http2Frames.open(port, trusting()) as client:
        client.send(row.sent)
        answer = await ask_good(client, 7)
    went_on = not client.closed and answer.status == 200
    if went_on is not (row in IGNORED):
        return f"it goes on: {went_on}"
    # A GOAWAY is lost where the close that follows it finds bytes unread, and becomes a reset.
    if client.goaway not in {None, row.code}:
        return f"it ends with {client.goaway}"
    return await nobody_else_is_harmed(port)


async def flooded(port: int, flood: Flood) -> str:
    """Send a flood for as long as it is taken; what is wrong with a good answer beside it."""
    async with await Http2Frames.open(port, trusting()) as client:
        client.send(flood.first)
        reading = asyncio.create_task(client.ended())
        for number in range(BATCHES):
            if client.closed:
                break
            client.send(flood.batch(number))
            await client.sent()
        wrong = await nobody_else_is_harmed(port)
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    return wrong


@pytest.mark.timeout(120)
@every_nginx
async def test_frames_and_floods_end_only_their_own_connection(nginx: NginxProgram) -> None:
    """What breaks the rules ends the connection; a flood costs nobody else an answer or memory."""
    async with Peer(answers_all) as peer:
        with by_tls(nginx, peer) as (front, port):
            complaints = {row.name: await broken_wrongly(port, row) for row in BROKEN + IGNORED}
            before = front.memory()["nginx"]
            complaints |= {flood.name: await flooded(port, flood) for flood in FLOODS}
            grown = front.memory()["nginx"] - before
            await front.settled()
    wrong = {name: complaint for name, complaint in complaints.items() if complaint}
    assert not wrong, "\n".join(f"{name}: {complaint}" for name, complaint in wrong.items())
    assert grown < MOST_GROWTH
    assert len(complaints) == len(BROKEN + IGNORED + FLOODS) >= 45


async def endless(connection: Connection) -> None:
    """A script: an answer that is longer than all buffers on its way; `good` gets a short one."""
    while True:
        head = await connection.request()
        if b"/v1/good" in head:
            await connection.say(plain(b"{}"))
            continue
        await connection.say(b"HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n")
        while True:
            await connection.say(b"x" * 65_536)


@pytest.mark.timeout(60)
@every_nginx
async def test_readers_without_a_window(nginx: NginxProgram) -> None:
    """They are given up like any slow client; their connection still has room for others."""
    if nginx.version < AFTER_DEBIAN_12:
        pytest.skip("it sends no head to a client that has no window, and so has nothing to show")
    stalled = range(1, 2 * STALLED, 2)
    async with Peer(endless) as peer:
        with by_tls(nginx, peer, slow_client_timeout_seconds=1) as (front, port):
            async with await Http2Frames.open(port, trusting(), window=0) as client:
                for stream in stalled:
                    client.send(client.request(stream, get(b"/v1/long"), None, ()))
                small = await client.head(2 * STALLED + 1, GOOD)
                assert small.status == 200
                assert not await nobody_else_is_harmed(port)
                await front.settled()
                small = await client.head(2 * STALLED + 3, GOOD)
                assert small.status == 200
                assert not any(client.answers[stream].body for stream in stalled)
    ended = Counter(request["ended_by"] for request in front.process.ended.values())
    assert ended["slow_client"] == STALLED, ended
