"""The table of hostile upstreams, by every way through Sluice."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

from tests.integration.hostile.answers import AFTERWARDS, ROWS, Row
from tests.integration.hostile.malicious import malicious
from tests.integration.raw import BrokenOff, Head, Line, ask_chat, exchange, request

if TYPE_CHECKING:
    from tests.integration.conftest import StartWorker

AT_ONCE = 8


def asking(number: int, row: Row) -> bytes:
    """The request that a row answers."""
    if row.asks == "stream":
        return ask_chat(f"row-{number}")
    body = b"{}" if row.asks == "post" else b""
    return request(row.asks.upper(), f"/v1/row-{number}", body)


async def got(url: str, number: int, row: Row) -> tuple[Head, bytes, bool]:
    """Head, body, and whether the body was broken off."""
    method = "HEAD" if row.asks == "head" else "POST"
    async with await Line.open(url) as line:
        head = await line.ask(asking(number, row), method=method)
        try:
            return head, await line.body(), False
        except BrokenOff as broken:
            return head, broken.body, True


def complaint(row: Row, head: Head, body: bytes, *, cut: bool) -> str:
    """What is wrong with what a client got for a row; empty if nothing is."""
    fields = "".join(f"\n{name}: {value}" for name, value in head.headers.items())
    received = f"{head.reason}{fields}\n".encode("latin-1").lower() + body.lower()
    if head.status != row.status:
        return f"{head.status} instead of {row.status}: {body[:200]!r}"
    if cut is not row.cut:
        return f"{'cut' if cut else 'not cut'}: {body[-200:]!r}"
    if row.body is not None and body != row.body:
        return f"the body is {body[:200]!r}"
    for word in row.never:
        if word in received:
            return f"{word!r} is in it: {received[:300]!r}"
    for word in row.has:
        if word not in received:
            return f"{word!r} is not in it: {received[:300]!r}"
    if head.status == 502:
        json.loads(body)
    return ""


async def wrong_with(url: str, number: int, row: Row) -> str:
    """Ask for a row, then for a good answer, which must be just that."""
    try:
        head, body, cut = await got(url, number, row)
    except (BrokenOff, TimeoutError, ValueError) as error:
        return f"no answer: {error!r}"
    wrong = complaint(row, head, body, cut=cut)
    if row.says and isinstance(row.says[-1], bytes) and len(row.says) > 1:
        # What comes later finds the connection at rest.
        await asyncio.sleep(sum(step for step in row.says if isinstance(step, float)) + 0.05)
    after = await exchange(url, request("GET", f"/v1/good-{number}"))
    if (after.status, after.body) != (200, b"good-%d" % number):
        wrong += f" and then {after.status} {after.body[:200]!r}"
    return wrong


async def test_a_hostile_upstream_harms_only_its_own_answer(start_every: StartWorker) -> None:
    """Each gets its status and its ending, nothing passes that may not, the next one is served."""
    async with malicious(ROWS) as peer:
        front = await start_every(
            upstream_url=peer.url, retries=0, eject_after_failures=1000, eject_failure_rate=1
        )
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, row: Row) -> tuple[str, str]:
            async with gate:
                return row.name, await wrong_with(front.url, number, row)

        # What an upstream says late, while the next request is on its way to it, is the answer.
        first = [await one(*numbered) for numbered in enumerate(AFTERWARDS)]
        rest = enumerate(ROWS[len(AFTERWARDS) :], len(AFTERWARDS))
        complaints = first + await asyncio.gather(*(one(*numbered) for numbered in rest))
        wrong = {name: text for name, text in complaints if text}
        assert not wrong, "\n".join(f"{name}: {text}" for name, text in wrong.items())


def test_the_table_is_as_long_as_it_is_said_to_be() -> None:
    """Every row has a name of its own."""
    assert len({row.name for row in ROWS}) == len(ROWS) >= 100
