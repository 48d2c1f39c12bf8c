"""Until the upstream's first bytes everything can still be told by a status; after that, nothing.

A silent upstream is bridged by a 200 and pings, which only ever stand between events.
"""

from __future__ import annotations

import asyncio
import re

import pytest

from proxy.record import Family
from tests.integration.conftest import StartWorker
from tests.integration.faults.asking import ASKINGS, CHAT, Asking
from tests.integration.faults.events import Event, events_of, pings_in, without_pings
from tests.integration.faults.recorder import Recorder, for_each
from tests.integration.raw import Line

UNDERSTOOD = [asking for asking in ASKINGS if asking.family is not Family.UNKNOWN]
PING = b": ping\n\n"
SOON = {"commit_after_seconds": 0.1, "ping_interval_seconds": 0.04, "retries": 3}


def unpinged(body: bytes) -> list[Event]:
    """The events that a client dispatches, but for pings: the demo sends one of its own."""
    return [event for event in events_of(body) if event.name != "ping"]


@pytest.mark.parametrize("words", ["hang-before=0.5", "hang-headers=0.5"])
async def test_a_silent_upstream_is_bridged(
    start_every: StartWorker, recorder: Recorder, words: str
) -> None:
    """A 200 and pings go out, then the whole answer, byte for byte."""
    front = await start_every(**SOON)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"seed=same;{words}")
        assert recorded.outcome == (200, "complete", "")
        assert recorded.clean
        assert pings_in(recorded.answer.body) >= 2
        assert (
            without_pings(recorded.answer.body)[0]
            == without_pings(await recorder.healthy(asking, "seed=same"))[0]
        )
        assert recorded.answer.headers["Content-Type"].startswith("text/event-stream")
        assert recorded.answer.headers["Cache-Control"] == "no-cache, no-transform"
        assert recorded.answer.headers["X-Accel-Buffering"] == "no"
        assert len(recorded.calls) == 1

    await for_each(UNDERSTOOD, check)


async def test_the_200_leaves_while_the_upstream_is_silent(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Whatever stands in front sees the head and a first ping long before the answer."""
    front = await start_every(**SOON)
    async with await Line.open(front.url) as line:
        head = await line.ask(CHAT.request("hang-before", "silent"))
        assert head.status == 200
        assert await line.part() == PING
        assert await line.part() == PING
        assert [call.ended_by for call in recorder.demo.state.calls] == [""]


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
    start_every: StartWorker, recorder: Recorder, words: str, error: str
) -> None:
    """What would have been another attempt before is an error in the stream now."""
    front = await start_every(**SOON)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"hang-before=0.3;{words}")
        assert recorded.answer.status == 200
        assert recorded.record.error == error
        assert recorded.record.ended_by == ("upstream_cut" if error else "error_event")
        assert len(recorded.calls) == 1
        assert pings_in(recorded.answer.body) >= 1
        assert asking.end_mark not in recorded.answer.body
        assert recorded.clean is not bool(error)
        if error:
            assert recorded.error(asking)["request_id"] == recorded.record.request_id

    await for_each(UNDERSTOOD, check)


async def test_the_commit_ends_the_waiting_for_another_attempt(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """An attempt that failed before the commit is not followed by one after it."""
    front = await start_every(**{**SOON, "retry_after_cap_seconds": 5})
    recorded = await recorder.ask(front, CHAT, "status=503;retry-after=3")
    assert recorded.answer.status == 200
    assert recorded.record.ended_by == "upstream_cut"
    assert len(recorded.calls) == 1
    assert recorded.seconds < 3


@pytest.mark.parametrize("status", [401, 429, 503])
async def test_before_the_commit_the_status_is_true(
    start_every: StartWorker, recorder: Recorder, status: int
) -> None:
    """A refusal that comes in time has its own status and not a byte of a stream."""
    front = await start_every(commit_after_seconds=30, retries=0)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"hang-before=0.1;status={status}")
        assert recorded.outcome == (status, "complete", "")
        assert recorded.answer.headers["Content-Type"].startswith("application/json")
        assert recorded.answer.json()["error"]

    await for_each(UNDERSTOOD, check)


async def test_the_clocks_run_on_after_the_commit(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Pings bridge silence; they do not make it endless."""
    front = await start_every(**SOON, first_token_timeout_seconds=1)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, "hang-before")
        assert recorded.outcome == (200, "first_token_timeout", "first_token_timeout")
        assert recorded.error(asking)["request_id"] == recorded.record.request_id
        assert not recorded.clean
        assert pings_in(recorded.answer.body) >= 2

    await for_each(UNDERSTOOD, check)


async def test_no_commit_while_nobody_asked_for_a_stream(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """An answer in one piece has one status, however long it takes."""
    front = await start_every(**SOON)
    whole = CHAT.with_body(CHAT.body.replace(b'"stream": true', b'"stream": false'))
    recorded = await recorder.ask(front, whole, "hang-before=0.4")
    assert recorded.outcome == (200, "complete", "")
    assert recorded.answer.json()["choices"]
    late = await recorder.ask(front, whole, "hang-before=0.4;status=404")
    assert late.outcome == (404, "complete", "")


async def test_the_commit_can_be_switched_off(start_every: StartWorker, recorder: Recorder) -> None:
    """0: the status waits for the upstream for as long as the clocks let it."""
    front = await start_every(commit_after_seconds=0, ping_interval_seconds=0.02, retries=0)
    recorded = await recorder.ask(front, CHAT, "hang-before=0.3;status=404")
    assert recorded.outcome == (404, "complete", "")


async def test_pings_can_be_switched_off(start_every: StartWorker, recorder: Recorder) -> None:
    """0: the 200 goes out all the same, and silence stays silence."""
    front = await start_every(commit_after_seconds=0.05, ping_interval_seconds=0)
    recorded = await recorder.ask(front, CHAT, "hang-before=0.3;hang=3;hang-for=0.2")
    assert recorded.outcome == (200, "complete", "")
    assert recorded.record.committed_at is not None
    assert recorded.record.first_byte_at is not None
    assert recorded.record.committed_at < recorded.record.first_byte_at
    assert pings_in(recorded.answer.body) == 0


@pytest.mark.parametrize("form", ["", "crlf", "cr", "comments", "multiline"])
async def test_pings_stand_between_events(
    start_every: StartWorker, recorder: Recorder, form: str
) -> None:
    """A stream that pauses is bridged; without the pings it is what the upstream sent."""
    front = await start_every(ping_interval_seconds=0.03)

    async def check(asking: Asking) -> None:
        words = f"seed=same;{form};tokens=4"
        recorded = await recorder.ask(front, asking, f"{words};rate=8")
        body = recorded.answer.body
        assert recorded.outcome == (200, "complete", "")
        assert pings_in(body) >= 2
        assert without_pings(body)[0] == without_pings(await recorder.healthy(asking, words))[0]
        assert unpinged(body) == unpinged(await recorder.healthy(asking, words))

    await for_each(UNDERSTOOD, check)


@pytest.mark.parametrize("form", ["split", "split;crlf", "split-utf8;cr", "split;multiline;cr"])
async def test_no_ping_inside_an_event(
    start_every: StartWorker, recorder: Recorder, form: str
) -> None:
    """While half an event is out, its other half is what the client waits for, and nothing else."""
    front = await start_every(ping_interval_seconds=0.02)
    words = f"seed=same;{form};tokens=2"

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, f"{words};drip-pause=0.06")
        body = recorded.answer.body
        assert without_pings(body)[0] == without_pings(await recorder.healthy(asking, words))[0]
        assert unpinged(body) == unpinged(await recorder.healthy(asking, words))

    await for_each(ASKINGS, check)


async def test_pings_and_single_bytes(start_every: StartWorker, recorder: Recorder) -> None:
    """A boundary that is only half there (the CR of a CRLF) is none."""
    front = await start_every(ping_interval_seconds=0.01)
    words = "seed=same;crlf;tokens=1;drip=40"
    want = await recorder.healthy(CHAT, words)
    recorded = await recorder.ask(front, CHAT, f"{words};drip-pause=0.02")
    assert without_pings(recorded.answer.body)[0] == without_pings(want)[0]
    assert unpinged(recorded.answer.body) == unpinged(want)


@pytest.mark.parametrize("after", [0.02, 30])
async def test_no_reader_loses_text_to_a_ping(
    start_every: StartWorker, recorder: Recorder, after: float
) -> None:
    """Not even those who split on empty lines, and take each piece that is not empty for data."""
    front = await start_every(ping_interval_seconds=0.02, commit_after_seconds=after)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, "seed=same;tokens=3;rate=10;ttft=0.2")
        healthy = await recorder.healthy(asking, "seed=same;tokens=3")
        assert pings_in(recorded.answer.body) >= 2
        assert texts(recorded.answer.body, asking) == texts(healthy, asking)

    await for_each(UNDERSTOOD, check)


def texts(body: bytes, asking: Asking) -> list[bytes]:
    """What a reader of blocks hands on; Gemini's take every block that is not empty for data."""
    blocks = [block for block in re.split(rb"\r\n\r\n|\n\n|\r\r", body) if block]
    if asking.family is Family.GEMINI:
        assert all(block.startswith(b"data: ") for block in blocks)
    if asking.family is Family.MESSAGES:
        assert all(block.startswith(b"event: ") for block in blocks)
        return [block for block in blocks if block.startswith(b"event: content_block")]
    return [block for block in blocks if block.startswith((b"data: ", b"event: "))]


async def test_many_silent_streams_are_bridged_at_once(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Each has its own time; none waits for another's."""
    front = await start_every(**SOON)
    requests = await asyncio.gather(
        *(recorder.ask(front, CHAT, "hang-before=0.4") for _ in range(20))
    )
    assert {request.outcome for request in requests} == {(200, "complete", "")}
    assert min(pings_in(request.answer.body) for request in requests) >= 1
