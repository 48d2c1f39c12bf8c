"""Five clocks, each with an outcome and an error of its own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator

import pytest

from proxy.record import Family
from tests.integration.conftest import StartWorker
from tests.integration.faults.asking import ASKINGS, CHAT, Asking
from tests.integration.faults.events import pings_in
from tests.integration.faults.recorder import Recorder, for_each
from tests.integration.raw import BrokenOff, Line, code_of
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk, says

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"%b"}}]}\n\n' % (b"a" * 2000)
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
LATER = 30.0
"""Seconds: for clocks that must not be what ends the stream."""


@pytest.fixture
def unreachable() -> Iterator[str]:
    """A base URL whose host takes no connection, and does not say so either."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        address = listening.getsockname()
        with socket.socket() as first, socket.socket() as second:
            for request in (first, second):
                # With its queue full, the kernel drops whoever comes next (listen(2)).
                request.setblocking(False)
                request.connect_ex(address)
            yield f"http://127.0.0.1:{address[1]}/v1"


async def test_connect(start_every: StartWorker, recorder: Recorder, unreachable: str) -> None:
    """An upstream that cannot be connected to in time: 504, and nothing was asked of anybody."""
    front = await start_every(upstream_url=unreachable, connect_timeout_seconds=0.1, retries=0)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking)
        assert recorded.outcome == (504, "connect_timeout", "upstream_connect_timeout")
        assert code_of(recorded.answer.json()["error"]) == "upstream_connect_timeout"
        assert recorded.record.connected_at is None

    await for_each(ASKINGS, check)


async def test_first_token_before_the_answer(start_every: StartWorker, recorder: Recorder) -> None:
    """No token in time, and nothing has left for the client yet: 504."""
    front = await start_every(first_token_timeout_seconds=0.1, retries=0)

    async def check(asking: Asking) -> None:
        for words in ("hang-before", "hang-headers"):
            recorded = await recorder.ask(front, asking, words)
            assert recorded.outcome == (504, "first_token_timeout", "first_token_timeout")
            assert [call.ended_by for call in recorded.calls] == ["left"]

    await for_each(ASKINGS, check)


async def test_first_token_in_the_stream(start_every: StartWorker, recorder: Recorder) -> None:
    """A stream that opens and then only pings has no first token: a ping is none."""
    front = await start_every(first_token_timeout_seconds=1, idle_timeout_seconds=LATER)

    async def check(asking: Asking) -> None:
        if asking.family in {Family.COMPLETIONS, Family.GEMINI, Family.UNKNOWN}:
            words = "pings=0.02;ttft=30"
        else:
            words = "open=0;ttft=30;pings=0.02"
        recorded = await recorder.ask(front, asking, words)
        assert recorded.outcome == (200, "first_token_timeout", "first_token_timeout")
        assert recorded.error(asking)["request_id"] == recorded.record.request_id
        assert not recorded.clean
        assert [call.ended_by for call in recorded.calls] == ["left"]

    await for_each(ASKINGS, check)


async def test_the_first_token_is_waited_for_from_the_request_sent(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """The time in which a slow upstream takes in a large request does not count."""

    async def busy_at_first(connection: Connection) -> None:
        await asyncio.sleep(2)
        await connection.request()
        await connection.say(EVENTS, chunk(b"data: [DONE]\n\n"), LAST_CHUNK)

    # More than the kernel's buffers on the way take while nobody reads.
    large = CHAT.with_body(CHAT.body.replace(b"{", b'{"padding": "%b", ' % (b"x" * 12_000_000), 1))
    async with Peer(busy_at_first) as upstream:
        front = await start_every(
            upstream_url=upstream.url, first_token_timeout_seconds=1.5, retries=0
        )
        recorded = await recorder.ask(front, large)
    assert recorded.outcome == (200, "complete", "")
    assert recorded.seconds > 2


async def test_idle(start_every: StartWorker, recorder: Recorder) -> None:
    """Silence between two events ends the stream in the family's own words."""
    front = await start_every(idle_timeout_seconds=0.1, first_token_timeout_seconds=LATER)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, "hang=4")
        assert recorded.outcome == (200, "idle_timeout", "idle_timeout")
        assert recorded.error(asking)["request_id"] == recorded.record.request_id
        assert not recorded.clean
        assert [call.ended_by for call in recorded.calls] == ["left"]

    await for_each(ASKINGS, check)


async def test_pings_do_not_wind_the_idle_clock(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """An upstream that says nothing but that it is there has fallen silent."""
    front = await start_every(idle_timeout_seconds=0.2, first_token_timeout_seconds=LATER)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, "rate=0.05;pings=0.02")
        assert recorded.outcome == (200, "idle_timeout", "idle_timeout")
        assert recorded.seconds < LATER / 3

    await for_each(ASKINGS, check)


async def test_total(start_every: StartWorker, recorder: Recorder) -> None:
    """An answer that never comes to its end is ended, though every token is in time."""
    front = await start_every(total_timeout_seconds=3)

    async def check(asking: Asking) -> None:
        recorded = await recorder.ask(front, asking, "rate=100;tokens=100000")
        assert recorded.outcome == (200, "total_timeout", "total_timeout")
        assert recorded.error(asking)["request_id"] == recorded.record.request_id
        assert len(recorded.events) > 2

    await for_each(ASKINGS, check)


async def test_total_before_the_answer(start_every: StartWorker, recorder: Recorder) -> None:
    """The whole of an answer includes the wait for its beginning, and all attempts at it."""
    front = await start_every(total_timeout_seconds=0.2)
    recorded = await recorder.ask(front, CHAT, "hang-before")
    assert recorded.outcome == (504, "total_timeout", "total_timeout")


async def test_a_client_that_takes_nothing(start_every: StartWorker, recorder: Recorder) -> None:
    """It is given up after its time: broken off, so that it can never take this for an end."""
    front = await start_every(slow_client_timeout_seconds=0.3)
    async with await Line.open(front.url, receive_buffer=4096) as line:
        await line.ask(CHAT.request("line=64MiB", "stuck"))
        context = await recorder.context("stuck")
        with pytest.raises(BrokenOff):
            await line.body()
    assert (context.record.ended_by, context.record.error) == ("slow_client", "slow_client")
    assert [call.ended_by for call in await recorder.calls("stuck")] == ["left"]


async def test_a_client_that_pauses(start_every: StartWorker, recorder: Recorder) -> None:
    """The silence while the client reads nothing is not blamed on the upstream."""
    # More than the kernel's buffers on the way take while nobody reads.
    many = [chunk(TOKEN * 10)] * 600
    async with Peer(says(EVENTS, b"".join(many), chunk(END), LAST_CHUNK)) as upstream:
        front = await start_every(
            upstream_url=upstream.url,
            slow_client_timeout_seconds=LATER,
            idle_timeout_seconds=1,
            first_token_timeout_seconds=LATER,
        )
        async with await Line.open(front.url, receive_buffer=65536) as line:
            await line.ask(CHAT.request(request_id="pauses"))
            first = await line.part()
            await asyncio.sleep(2)
            body = first + await line.body()
        context = await recorder.context("pauses")
    assert context.record.ended_by == "complete"
    assert body == TOKEN * 6000 + END


async def test_clocks_that_are_off(start_every: StartWorker, recorder: Recorder) -> None:
    """0 switches a clock off, and pings with it."""
    front = await start_every(
        first_token_timeout_seconds=0,
        idle_timeout_seconds=0,
        total_timeout_seconds=0,
        slow_client_timeout_seconds=0,
        ping_interval_seconds=0,
        commit_after_seconds=0,
    )
    recorded = await recorder.ask(front, CHAT, "hang-before=0.2;rate=10;tokens=3")
    assert recorded.outcome == (200, "complete", "")
    assert pings_in(recorded.answer.body) == 0


async def test_an_upstream_with_clocks_of_its_own(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """What one upstream sets for itself holds there, and nowhere else."""
    url = recorder.demo.url + "/v1"
    front = await start_every(
        upstream_url=None,
        upstreams=[
            {"name": "hasty", "url": url, "models": ["hasty"], "idle_timeout_seconds": 0.1},
            {"name": "patient", "url": url, "models": ["patient"]},
        ],
    )
    hasty = await recorder.ask(front, CHAT.of_model("hasty"), "hang=3;hang-for=0.5")
    patient = await recorder.ask(front, CHAT.of_model("patient"), "hang=3;hang-for=0.5")
    assert hasty.outcome == (200, "idle_timeout", "idle_timeout")
    assert patient.outcome == (200, "complete", "")
