"""Until the upstream's first bytes everything can still be told by a status; after that, nothing.

A silent upstream is bridged by a 200 and pings, which only ever stand between events.
"""

from __future__ import annotations

import asyncio
import json
import re

import pytest

from proxy.exchange import Family
from tests.integration.conftest import StartWorker
from tests.integration.faults.asking import ASKINGS, CHAT, Asking
from tests.integration.faults.events import events_of, pings_in
from tests.integration.faults.hearing import Scene, for_each
from tests.integration.raw import Line

UNDERSTOOD = [one for one in ASKINGS if one.family is not Family.UNKNOWN]
PING = b": ping\n"
SOON = {"commit_after_seconds": 0.1, "ping_interval_seconds": 0.04, "retries": 3}


def without_pings(body: bytes) -> bytes:
    """The body as it would be without the pings, each of which is checked for its place."""
    assert PING + b"\n" not in body
    rest = body
    while rest.startswith(PING):
        rest = rest.removeprefix(PING)
    return re.sub(rb"(\n\n|\r\n\r\n|\r\r)(?:: ping\n)+", rb"\1", rest)


@pytest.mark.parametrize("words", ["hang-before=0.5", "hang-headers=0.5"])
async def test_a_silent_upstream_is_bridged(
    start_every: StartWorker, scene: Scene, words: str
) -> None:
    """A 200 and pings go out, then the whole answer, byte for byte."""
    front = await start_every(**SOON)

    async def check(asking: Asking) -> None:
        told = await scene.ask(front, asking, f"seed=same;{words}")
        assert told.outcome == (200, "complete", "")
        assert told.clean
        assert pings_in(told.answer.body) >= 2
        assert without_pings(told.answer.body) == await scene.healthy(asking, "seed=same")
        assert told.answer.headers["Content-Type"].startswith("text/event-stream")
        assert told.answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert told.answer.headers["X-Accel-Buffering"] == "no"
        assert len(told.calls) == 1

    await for_each(UNDERSTOOD, check)


async def test_the_200_leaves_while_the_upstream_is_silent(
    start_every: StartWorker, scene: Scene
) -> None:
    """Whatever stands in front sees the head and a first ping long before the answer."""
    front = await start_every(**SOON)
    async with await Line.open(front.url) as line:
        head = await line.ask(CHAT.request("hang-before", "silent"))
        assert head.status == 200
        assert await line.part() == PING
        assert await line.part() == PING
        assert [call.ended_by for call in scene.demo.state.calls] == [""]


@pytest.mark.parametrize(
    ("words", "error"),
    [
        ("status=429", "upstream_refused"),
        ("status=503", "upstream_refused"),
        ("status=400", "upstream_refused"),
        ("empty", "upstream_invalid"),
        ("overloaded", ""),
        ("cut=0", "upstream_cut"),
    ],
)
async def test_after_the_commit_nothing_is_tried_again(
    start_every: StartWorker, scene: Scene, words: str, error: str
) -> None:
    """What would have been another attempt before is an error in the stream now."""
    front = await start_every(**SOON)

    async def check(asking: Asking) -> None:
        told = await scene.ask(front, asking, f"hang-before=0.3;{words}")
        assert told.answer.status == 200
        assert told.exchange.error == error
        assert told.exchange.ended_by == ("upstream_cut" if error else "error_event")
        assert len(told.calls) == 1
        assert pings_in(told.answer.body) >= 1
        assert asking.end_mark not in told.answer.body
        if error:
            assert told.error(asking)["request_id"] == told.exchange.request_id

    await for_each(UNDERSTOOD, check)


async def test_the_commit_ends_the_waiting_for_another_attempt(
    start_every: StartWorker, scene: Scene
) -> None:
    """An attempt that failed before the commit is not followed by one after it."""
    front = await start_every(**{**SOON, "retry_after_cap_seconds": 5})
    told = await scene.ask(front, CHAT, "status=503;retry-after=3")
    assert told.answer.status == 200
    assert told.exchange.ended_by == "upstream_cut"
    assert len(told.calls) == 1
    assert told.seconds < 3


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_before_the_commit_the_status_is_true(
    start_every: StartWorker, scene: Scene, status: int
) -> None:
    """A refusal that comes in time has its own status and not a byte of a stream."""
    front = await start_every(commit_after_seconds=30, retries=0)

    async def check(asking: Asking) -> None:
        told = await scene.ask(front, asking, f"hang-before=0.1;status={status}")
        assert told.outcome == (status, "complete", "")
        assert told.answer.headers["Content-Type"].startswith("application/json")
        assert told.answer.json()["error"]

    await for_each(UNDERSTOOD, check)


async def test_the_clocks_run_on_after_the_commit(start_every: StartWorker, scene: Scene) -> None:
    """Pings bridge silence; they do not make it endless."""
    front = await start_every(**SOON, first_token_timeout_seconds=0.4)

    async def check(asking: Asking) -> None:
        told = await scene.ask(front, asking, "hang-before")
        assert told.outcome == (200, "first_token_timeout", "first_token_timeout")
        assert told.error(asking)["request_id"] == told.exchange.request_id
        assert told.clean
        assert pings_in(told.answer.body) >= 2

    await for_each(UNDERSTOOD, check)


async def test_no_commit_while_nobody_asked_for_a_stream(
    start_every: StartWorker, scene: Scene
) -> None:
    """An answer in one piece has one status, however long it takes."""
    front = await start_every(**SOON)
    whole = CHAT.with_body(CHAT.body.replace(b'"stream": true', b'"stream": false'))
    told = await scene.ask(front, whole, "hang-before=0.4")
    assert told.outcome == (200, "complete", "")
    assert told.answer.json()["choices"]
    late = await scene.ask(front, whole, "hang-before=0.4;status=404")
    assert late.outcome == (404, "complete", "")


async def test_the_commit_can_be_switched_off(start_every: StartWorker, scene: Scene) -> None:
    """0: the status waits for the upstream for as long as the clocks let it."""
    front = await start_every(commit_after_seconds=0, ping_interval_seconds=0.02, retries=0)
    told = await scene.ask(front, CHAT, "hang-before=0.3;status=404")
    assert told.outcome == (404, "complete", "")


async def test_pings_can_be_switched_off(start_every: StartWorker, scene: Scene) -> None:
    """0: the 200 goes out all the same, and silence stays silence."""
    front = await start_every(commit_after_seconds=0.05, ping_interval_seconds=0)
    told = await scene.ask(front, CHAT, "hang-before=0.3;hang=3;hang-for=0.2")
    assert told.outcome == (200, "complete", "")
    assert told.exchange.committed_at is not None
    assert told.exchange.first_byte_at is not None
    assert told.exchange.committed_at < told.exchange.first_byte_at
    assert pings_in(told.answer.body) == 0


@pytest.mark.parametrize("form", ["", "crlf", "cr", "comments", "multiline"])
async def test_pings_stand_between_events(
    start_every: StartWorker, scene: Scene, form: str
) -> None:
    """A stream that pauses is bridged; without the pings it is what the upstream sent."""
    front = await start_every(ping_interval_seconds=0.03)

    async def check(asking: Asking) -> None:
        words = f"seed=same;{form};tokens=4"
        told = await scene.ask(front, asking, f"{words};rate=8")
        body = told.answer.body
        assert told.outcome == (200, "complete", "")
        assert pings_in(body) >= 2
        assert without_pings(body) == await scene.healthy(asking, words)
        assert events_of(body) == events_of(await scene.healthy(asking, words))

    await for_each(UNDERSTOOD, check)


@pytest.mark.parametrize("form", ["split", "split;crlf", "split-utf8;cr", "split;multiline;cr"])
async def test_no_ping_inside_an_event(start_every: StartWorker, scene: Scene, form: str) -> None:
    """While half an event is out, its other half is what the client waits for, and nothing else."""
    front = await start_every(ping_interval_seconds=0.02)
    words = f"seed=same;{form};tokens=2"

    async def check(asking: Asking) -> None:
        told = await scene.ask(front, asking, f"{words};drip-pause=0.06")
        body = told.answer.body
        assert without_pings(body) == await scene.healthy(asking, words)
        assert events_of(body) == events_of(await scene.healthy(asking, words))

    await for_each(ASKINGS, check)


async def test_pings_and_single_bytes(start_every: StartWorker, scene: Scene) -> None:
    """A boundary that is only half there (the CR of a CRLF) is none."""
    front = await start_every(ping_interval_seconds=0.01)
    words = "seed=same;crlf;tokens=1;drip=40"
    want = await scene.healthy(CHAT, words)
    told = await scene.ask(front, CHAT, f"{words};drip-pause=0.02")
    assert without_pings(told.answer.body) == want
    assert events_of(told.answer.body) == events_of(want)


async def test_a_ping_never_reaches_a_browsers_handler(
    start_every: StartWorker, scene: Scene
) -> None:
    """`@microsoft/fetch-event-source` calls its handler for every empty line: a ping has none."""
    front = await start_every(ping_interval_seconds=0.02)
    told = await scene.ask(front, CHAT, "tokens=3;rate=10")
    blocks = told.answer.body.split(b"\n\n")[:-1]
    assert pings_in(told.answer.body) >= 2
    for block in blocks:
        data = [line[6:] for line in block.split(b"\n") if line.startswith(b"data: ")]
        assert len(data) == 1, block
        assert data == [b"[DONE]"] or json.loads(data[0])


async def test_many_silent_streams_are_bridged_at_once(
    start_every: StartWorker, scene: Scene
) -> None:
    """Each has its own time; none waits for another's."""
    front = await start_every(**SOON)
    told = await asyncio.gather(*(scene.ask(front, CHAT, "hang-before=0.4") for _ in range(20)))
    assert {one.outcome for one in told} == {(200, "complete", "")}
    assert min(pings_in(one.answer.body) for one in told) >= 1
