"""The relay of a body, with scripted peers: every way to end, and what the client is told."""

from __future__ import annotations

import asyncio
import math
import time

import pytest

from proxy.errors import Drained, UpstreamCut
from proxy.meter.stream_reader import reader_for
from proxy.record import EndedBy, Family
from proxy.relay.body_relay import Outcome, relay_body
from proxy.relay.client_writer import BUFFERED_BYTES, ClientWriter
from proxy.relay.event_stream import EventStream
from proxy.relay.opaque_body import OpaqueBody
from proxy.relay.timeouts import Timeouts
from proxy.relay.watchdog import StreamWatchdog
from tests.relay.peers import FakeTransport, ScriptedBody, for_ever

TOKEN = b'data: {"choices":[{"index":0,"delta":{"content":"a"}}]}\n\n'
ROLE = b'data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
NEVER = Timeouts(
    connect=math.inf,
    first_token=math.inf,
    idle=math.inf,
    total=math.inf,
    slow_client=math.inf,
    ping=math.inf,
)


class Scene:
    """One relay between a scripted body and a fake transport."""

    def __init__(
        self,
        *script: object,
        body_filter: EventStream | OpaqueBody | None = None,
        stuck: bool = False,
        clocks: dict[str, float] | None = None,
    ) -> None:
        self.body = ScriptedBody(*script)  # type: ignore[arg-type]
        self.transport = FakeTransport(stuck=stuck)
        now = time.monotonic()
        self.client = ClientWriter(self.transport, self.transport, chunked=False, now=now)
        reader = reader_for(Family.CHAT)
        self.body_filter = body_filter or EventStream(Family.CHAT, reader)
        fields = {name: getattr(NEVER, name) for name in NEVER.__slots__}
        fields |= clocks or {}
        self.watchdog = StreamWatchdog(
            Timeouts(**fields), self.body_filter, self.client, called_at=now, sent_at=now
        )

    async def play(self) -> Outcome:
        return await relay_body(self.body, self.body_filter, self.client, self.watchdog, "req-1")


async def test_a_whole_stream_passes_unchanged() -> None:
    """Every byte, in order, and a clean end."""
    scene = Scene(ROLE, TOKEN, TOKEN, FINISH, DONE)
    assert await scene.play() == Outcome(EndedBy.COMPLETE, whole=True)
    assert scene.transport.written == [ROLE, TOKEN, TOKEN, FINISH, DONE]


async def test_an_upstream_that_dies() -> None:
    """The client reads an error event; no end mark is made up."""
    scene = Scene(ROLE, TOKEN, UpstreamCut("Connection lost."))
    assert await scene.play() == Outcome(EndedBy.UPSTREAM_CUT, whole=False, error="upstream_cut")
    assert b'"code": "upstream_cut"' in scene.transport.text
    assert b"[DONE]" not in scene.transport.text


async def test_a_body_of_unknown_form_that_dies() -> None:
    """Nothing can be said inside it, so it is not closed cleanly."""
    scene = Scene(b"\x00\x01", UpstreamCut("Connection lost."), body_filter=OpaqueBody(keep=False))
    assert await scene.play() == Outcome(EndedBy.UPSTREAM_CUT, whole=False, error="upstream_cut")
    assert scene.transport.text == b"\x00\x01"


async def test_an_upstream_that_dies_after_the_end_mark() -> None:
    """The answer was complete: what comes after changes nothing."""
    scene = Scene(TOKEN, FINISH, DONE, UpstreamCut("Connection lost."))
    assert await scene.play() == Outcome(EndedBy.COMPLETE, whole=True)
    assert scene.transport.text == TOKEN + FINISH + DONE


@pytest.mark.parametrize(
    ("script", "clocks", "ended_by"),
    [
        ((ROLE, for_ever), {"first_token": 0.05}, EndedBy.FIRST_TOKEN_TIMEOUT),
        ((TOKEN, for_ever), {"idle": 0.05}, EndedBy.IDLE_TIMEOUT),
        ((TOKEN, for_ever), {"total": 0.05}, EndedBy.TOTAL_TIMEOUT),
    ],
)
async def test_an_upstream_that_hangs(
    script: tuple[object, ...], clocks: dict[str, float], ended_by: EndedBy
) -> None:
    """Its clock ends the stream visibly, with an outcome of its own."""
    scene = Scene(*script, clocks=clocks)
    outcome = await scene.play()
    assert (outcome.ended_by, outcome.whole) == (ended_by, False)
    assert outcome.blames_upstream is (ended_by is not EndedBy.TOTAL_TIMEOUT)
    assert f'"code": "{ended_by}"'.encode() in scene.transport.text


async def test_pings_do_not_wind_the_idle_clock() -> None:
    """An upstream that only pings has fallen silent."""

    async def ping() -> None:
        await asyncio.sleep(0.01)

    script: list[object] = [TOKEN]
    for _ in range(200):
        script += [ping, b": ping\n\n"]
    started = time.monotonic()
    outcome = await Scene(*script, clocks={"idle": 0.1}).play()
    assert outcome.ended_by is EndedBy.IDLE_TIMEOUT
    assert time.monotonic() - started == pytest.approx(0.1, abs=0.02)


async def test_a_silent_upstream_is_bridged_by_pings() -> None:
    """Pings go out while nothing comes, each a comment with an empty line of its own."""
    scene = Scene(TOKEN, lambda: asyncio.sleep(100), FINISH, DONE, clocks={"ping": 15})
    assert (await scene.play()).ended_by is EndedBy.COMPLETE
    assert scene.transport.written == [TOKEN, *[PING] * 6, FINISH, DONE]


async def test_no_ping_inside_an_event() -> None:
    """While half an event has been sent, no ping breaks into it; once it is whole, they go on."""
    scene = Scene(
        TOKEN[:20],
        lambda: asyncio.sleep(100),
        TOKEN[20:],
        lambda: asyncio.sleep(40),
        FINISH,
        DONE,
        clocks={"ping": 15},
    )
    await scene.play()
    assert scene.transport.written == [TOKEN[:20], TOKEN[20:], PING, PING, FINISH, DONE]


async def test_a_client_that_takes_nothing() -> None:
    """It is given up after its time; the upstream is not read on meanwhile."""
    scene = Scene(*[TOKEN * 200] * 50, stuck=True, clocks={"slow_client": 0.1})
    outcome = await scene.play()
    assert outcome == Outcome(EndedBy.SLOW_CLIENT, whole=False, error="slow_client")
    assert len(scene.transport.text) <= BUFFERED_BYTES + len(TOKEN) * 200
    assert scene.body.reads < 10


async def test_a_client_that_lags_and_catches_up() -> None:
    """The silence while the client lagged is not blamed on the upstream."""
    scene = Scene(TOKEN * 1000, TOKEN, FINISH, DONE, stuck=True, clocks={"idle": 0.2})
    asyncio.get_running_loop().call_later(0.4, scene.transport.take_all)
    assert (await scene.play()).ended_by is EndedBy.COMPLETE


async def test_silence_is_counted_from_when_the_client_caught_up() -> None:
    """Nothing was read before, so nothing can be said of the upstream."""
    scene = Scene(
        TOKEN * 1000,
        lambda: asyncio.sleep(15),
        TOKEN,
        FINISH,
        DONE,
        stuck=True,
        clocks={"idle": 20},
    )
    asyncio.get_running_loop().call_later(40, scene.transport.take_all)
    assert (await scene.play()).ended_by is EndedBy.COMPLETE


async def test_a_drain_cuts_what_still_runs() -> None:
    """A stream that is told to stop says so to its client."""
    scene = Scene(TOKEN, for_ever)
    asyncio.get_running_loop().call_later(0.02, scene.watchdog.stop, Drained("Stopping."))
    outcome = await scene.play()
    assert (outcome.ended_by, outcome.whole) == (EndedBy.DRAINED, False)
    assert b"gateway_stopped" in scene.transport.text


async def test_a_client_that_left_is_not_written_to() -> None:
    """Reading on for the usage writes nothing and waits for nobody."""
    scene = Scene(ROLE, TOKEN, FINISH, DONE, stuck=True)
    scene.client.left = True
    assert (await scene.play()).ended_by is EndedBy.COMPLETE
    assert scene.transport.written == []


async def test_a_cancelled_pump_stops() -> None:
    """Cancellation passes through: it is the client's leaving, and no clock's doing."""
    task = asyncio.create_task(Scene(TOKEN, for_ever, clocks={"idle": 60}).play())
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.no_blockbuster
async def test_an_event_loop_that_was_held_up() -> None:
    """What came in the meantime counts: the upstream is not blamed for what Sluice did not read."""

    async def turn() -> None:
        await asyncio.sleep(0)

    def hold_up() -> None:
        time.sleep(0.3)

    scene = Scene(TOKEN, hold_up, turn, turn, turn, TOKEN, FINISH, DONE, clocks={"idle": 0.1})
    assert (await scene.play()).ended_by is EndedBy.COMPLETE


async def test_an_upstream_that_is_cut_after_its_own_error() -> None:
    """Its error is passed on as it came, and so is the end that it gave it."""
    error = b'data: {"error":{"message":"no","code":500}}\n\n'
    scene = Scene(TOKEN, error, UpstreamCut("Connection lost."))
    assert await scene.play() == Outcome(EndedBy.ERROR_EVENT, whole=False)
    assert scene.transport.text == TOKEN + error
    assert await Scene(TOKEN, error).play() == Outcome(EndedBy.ERROR_EVENT, whole=True)
