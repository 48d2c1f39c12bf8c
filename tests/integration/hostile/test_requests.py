"""The table of hostile requests, through nginx and at a worker alone, with client keys and without.

Each front runs as operators run it, in processes of its own, and once for the whole table.
"""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from tests.integration.faults import gateways
from tests.integration.faults.gateways import Process, RunningGateway, Upstream
from tests.integration.hostile.asking import CLIENT, HOST, MARK, OPERATOR, Row, get
from tests.integration.hostile.http2_rows import HEADS as HTTP2_ROWS
from tests.integration.hostile.request_bodies import BODIES
from tests.integration.hostile.request_framing import FRAMING
from tests.integration.hostile.request_heads import HEADS
from tests.integration.hostile.request_spellings import SPELLINGS
from tests.integration.hostile.through_nginx import all_known, every_way, rows_as_read
from tests.integration.raw import BrokenOff, Line, Whole
from tests.upstream.peer import Connection, Peer, plain

if TYPE_CHECKING:
    from collections.abc import Iterator

    from proxy.appliance.nginx_program import NginxProgram

ROWS = HEADS + FRAMING + BODIES + SPELLINGS


async def answers_all(connection: Connection) -> None:
    """A script: each request gets the same good answer."""
    while True:
        await connection.request()
        await connection.say(plain(b'{"ok":true}', fields={"Content-Type": "application/json"}))


@contextmanager
def fronts(
    nginx: NginxProgram | None, peer: Peer, *, keys: bool, **more: object
) -> Iterator[RunningGateway]:
    """What clients meet, before a peer that writes down what reaches it."""
    settings = {
        "upstream_url": f"{peer.url}/v1",
        "upstream_api_key": OPERATOR.decode(),
        "retries": 0,
        "eject_after_failures": 1000,
        "eject_failure_rate": 1,
        "header_timeout_seconds": 2,
        "body_timeout_seconds": 2,
        "log_level": "debug",
        "log_format": "json",
        **({"client_keys": {"team": CLIENT.decode()}} if keys else {}),
        **({} if nginx is None else {"nginx_path": nginx.path}),
        **more,
    }
    start = gateways.worker if nginx is None else gateways.appliance
    with start(Upstream(Process(None, peer.url)), **settings) as front:  # type: ignore[arg-type]
        yield front


async def asked(url: str, sent: bytes, *, closes: bool = False) -> tuple[Whole | None, bool]:
    """The first answer to some bytes, and, where it should be, whether the connection closed."""
    method = sent.lstrip(b"\r\n").partition(b" ")[0].decode("latin-1")
    async with await Line.open(url) as line:
        try:
            answer = await line.whole(sent, method=method)
        except (BrokenOff, ConnectionError, TimeoutError):
            return None, True
        try:
            return answer, closes and await line.ended()
        except TimeoutError:
            return answer, False


def reached_wrongly(row: Row, heads: list[bytes], bodies: list[bytes], status: int) -> str:
    """What is wrong with what reached the upstream; empty if nothing is."""
    reached = row.reached if status < 400 else ()
    targets = tuple(
        line.rpartition(b" HTTP/")[0] for line in (head.split(b"\r\n")[0] for head in heads)
    )
    if targets != reached:
        return f"{targets} reached it, not {reached}"
    received = b"\n".join(heads + bodies).lower()
    for word in (*row.never, MARK, CLIENT):
        if word in received:
            return f"{word!r} reached it: {received[:400]!r}"
    for word in row.has if targets else ():
        if word not in received:
            return f"{word!r} did not reach it: {received[:400]!r}"
    if row.body is not None and targets and bodies != [row.body]:
        return f"the body {bodies!r} reached it"
    return ""


def answered_wrongly(row: Row, answer: Whole | None, expected: int, *, closed: bool) -> str:
    """What is wrong with the answer; empty if nothing is."""
    if answer is None:
        return "no answer"
    if answer.status != expected:
        return f"{answer.status} instead of {expected}: {answer.body[:200]!r}"
    if answer.head.version not in {"HTTP/1.0", "HTTP/1.1"}:
        return f"it is written in {answer.head.version}"
    if OPERATOR in answer.body or MARK in answer.body:
        return f"a key is in it: {answer.body[:200]!r}"
    if row.closes and expected == row.status and not closed:
        return "the connection stays open"
    return _refused_wrongly(row, answer) if expected >= 400 and answer.body else ""


def _refused_wrongly(row: Row, answer: Whole) -> str:
    error = answer.json()
    request_id = answer.headers.get("X-Request-ID", "")
    if not request_id or request_id not in json.dumps(error):
        return f"not one id: {request_id} and {error}"
    if answer.status == row.status and row.says not in answer.body:
        return f"{row.says!r} is not in it: {answer.body[:300]!r}"
    return ""


async def wrong_with(front: RunningGateway, peer: Peer, row: Row, sent: bytes, status: int) -> str:
    """Ask for a row, then for a good answer, which must be the only other one to arrive."""
    before = len(peer.heads)
    answer, closed = await asked(front.url, sent, closes=row.closes and status == row.status)
    good = get(b"/v1/good").replace(HOST, HOST + b"Authorization: Bearer " + CLIENT + b"\r\n")
    after, _ = await asked(front.url, good)
    if after is None or after.status != 200:
        return f"and then no good answer: {after}"
    heads, bodies = peer.heads[before:], peer.bodies[before:]
    if not heads or not heads.pop().startswith(b"GET /v1/good HTTP/1.1\r\n"):
        return f"what came last is not the good one: {peer.heads[before:]}"
    bodies.pop()
    wrong = answered_wrongly(row, answer, status, closed=closed)
    return wrong or reached_wrongly(row, heads, bodies, status)


def variants(row: Row, *, keys: bool) -> Iterator[tuple[str, bytes, int]]:
    """How a row is asked for, and the status that it must get."""
    if not keys:
        yield row.name, row.sent, row.status
        return
    if row.reached:
        yield f"{row.name}, without a key", row.sent, 401
    # Two keys that differ are refused for that alone.
    if HOST in row.sent and MARK not in row.sent:
        keyed = HOST + b"Authorization: Bearer " + CLIENT + b"\r\n"
        yield f"{row.name}, with a key", row.sent.replace(HOST, keyed, 1), row.keyed or row.status


@pytest.mark.timeout(120)
@pytest.mark.parametrize("keys", [False, True], ids=["open", "keys"])
@every_way
async def test_a_hostile_request_reaches_nobody(nginx: NginxProgram | None, keys: bool) -> None:
    """Each gets its status; the upstream gets exactly what it should, and no key is told."""
    wrong = {}
    async with Peer(answers_all) as peer:
        with fronts(nginx, peer, keys=keys) as front:
            for row in rows_as_read(ROWS, nginx):
                for name, sent, status in variants(row, keys=keys):
                    if complaint := await wrong_with(front, peer, row, sent, status):
                        wrong[name] = complaint
        leaks = [
            line
            for line in front.process.lines
            for key in (MARK, OPERATOR, CLIENT)
            if key.decode() in line
        ]
    assert not wrong, "\n".join(f"{name}: {complaint}" for name, complaint in wrong.items())
    assert not leaks, leaks[:5]
    # What is said to people at the start is no JSON.
    first = next(at for at, line in enumerate(front.process.lines) if "request_id" in line)
    assert not [line for line in front.process.lines[first:] if _is_no_json(line)]


def _is_no_json(line: str) -> bool:
    try:
        return not isinstance(json.loads(line), dict)
    except ValueError:
        return True


def test_the_table_is_as_long_as_it_is_said_to_be() -> None:
    """Every row has a name of its own."""
    names = {row.name for row in ROWS}
    assert len(names) == len(ROWS) >= 440
    assert all_known(ROWS + HTTP2_ROWS)
