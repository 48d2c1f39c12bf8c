"""Several upstreams behind one gateway: who is asked, who steps in, who is left out."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from proxy.demo.app import create_app, create_runner
from proxy.demo.recorded_calls import DEMO_STATE
from tests.integration.conftest import Demo, StartWorker, Worker, until
from tests.integration.faults.asking import ASKINGS, CHAT
from tests.integration.faults.recorder import Recorder
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk, plain, serves

WELL = EVENTS + chunk(b"data: [DONE]\n\n") + LAST_CHUNK
BUSY = plain(status="503 Service Unavailable")
HEALTHY = serves(WELL)
BROKEN = serves(BUSY)


@pytest.fixture
async def other() -> AsyncIterator[Demo]:
    """A second upstream; the first is the scene's."""
    app = create_app()
    runner = create_runner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Demo(f"http://127.0.0.1:{site.port}", app[DEMO_STATE])
    await runner.cleanup()


def at(name: str, url: str, **more: Any) -> dict[str, Any]:
    """The settings of one upstream."""
    return {"name": name, "url": f"{url}/v1", **more}


def state_of(front: Worker, name: str) -> dict[str, Any]:
    """How the gateway thinks of an upstream."""
    return next(
        dict(upstream) for upstream in front.state.upstreams.status() if upstream["name"] == name
    )


async def test_the_model_decides(start_every: StartWorker, recorder: Recorder, other: Demo) -> None:
    """By globs; a model that nobody serves is a 404 that names it."""
    front = await start_every(
        upstream_url=None,
        upstreams=[
            at("here", recorder.demo.url, models=["gpt-*", "demo-?"]),
            at("there", other.url, models=["claude-*"]),
        ],
    )
    here = await recorder.ask(front, CHAT.of_model("gpt-5"))
    also = await recorder.ask(front, CHAT.of_model("demo-1"))
    there = await recorder.ask(front, CHAT.of_model("claude-x"))
    nowhere = await recorder.ask(front, CHAT.of_model("demo-12"))
    asked = [request.record.upstream for request in (here, also, there)]
    assert asked == ["here", "here", "there"]
    assert nowhere.outcome == (404, "rejected", "not_found")
    assert "demo-12" in nowhere.answer.json()["error"]["message"]
    assert (recorder.demo.state.seen, other.state.seen) == (2, 1)


async def test_a_model_goes_by_another_name_there(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Clients keep their name for it; the upstream hears its own."""
    async with Peer(HEALTHY) as upstream:
        front = await start_every(
            upstream_url=None,
            upstreams=[at("there", upstream.url, models=[], rename={"mine": "theirs"})],
        )
        for asking in ASKINGS:
            if asking.family == "unknown":
                continue
            recorded = await recorder.ask(front, asking.of_model("mine"))
            assert recorded.answer.status == 200
            sent = upstream.heads[-1] + upstream.bodies[-1]
            assert b"theirs" in sent
            assert b"mine" not in sent


async def test_the_first_tier_is_used(
    start_every: StartWorker, recorder: Recorder, other: Demo
) -> None:
    """While it has a healthy member, the second has nothing to do."""
    front = await start_every(
        upstream_url=None,
        upstreams=[at("first", recorder.demo.url), at("second", other.url, priority=1)],
    )
    for _ in range(5):
        assert (await recorder.ask(front, CHAT)).record.upstream == "first"
    assert other.state.seen == 0


async def test_a_tier_that_fails(start_every: StartWorker, recorder: Recorder) -> None:
    """The next one steps in within the same request."""
    async with Peer(BROKEN) as ill:
        front = await start_every(
            upstream_url=None,
            upstreams=[at("first", ill.url), at("second", recorder.demo.url, priority=1)],
        )
        recorded = await recorder.ask(front, CHAT)
    assert recorded.outcome == (200, "complete", "")
    assert (recorded.record.upstream, recorded.record.attempts) == ("second", 2)


async def test_a_sibling_goes_first(start_every: StartWorker, recorder: Recorder) -> None:
    """Nobody is asked twice while another has not been asked at all, and nobody waits for it."""
    async with Peer(BROKEN) as one, Peer(BROKEN) as two, Peer(HEALTHY) as three:
        front = await start_every(
            upstream_url=None,
            retries=2,
            upstreams=[
                at("one", one.url),
                at("two", two.url, priority=1),
                at("three", three.url, priority=2),
            ],
        )
        recorded = await recorder.ask(front, CHAT)
        assert recorded.outcome == (200, "complete", "")
        assert (len(one.heads), len(two.heads), len(three.heads)) == (1, 1, 1)
        assert recorded.record.upstream == "three"


async def test_weights(start_every: StartWorker, recorder: Recorder, other: Demo) -> None:
    """Idle upstreams are asked in proportion to their weights, roughly."""
    front = await start_every(
        upstream_url=None,
        upstreams=[at("light", recorder.demo.url, weight=1), at("heavy", other.url, weight=9)],
    )
    for _ in range(60):
        assert (await recorder.ask(front, CHAT, "tokens=1")).answer.status == 200
    assert other.state.seen > 2 * recorder.demo.state.seen


async def test_the_less_loaded_is_asked(
    start_every: StartWorker, recorder: Recorder, other: Demo
) -> None:
    """With all streams open at once, both carry about the same."""
    front = await start_every(
        upstream_url=None, upstreams=[at("one", recorder.demo.url), at("two", other.url)]
    )
    tasks = [asyncio.create_task(recorder.ask(front, CHAT, "hang=1")) for _ in range(30)]
    await until(
        lambda: len(recorder.demo.state.open) + len(other.state.open) == 30, "not all began"
    )
    loads = (len(recorder.demo.state.open), len(other.state.open))
    for request in tasks:
        request.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert max(loads) <= 2 * min(loads) + 2


async def test_a_failing_upstream_is_taken_out_and_comes_back(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """After failures in a row nobody is sent there, until one probe of many requests goes well."""
    mended = asyncio.Event()

    async def ill_at_first(connection: Connection) -> None:
        while True:
            await connection.request()
            await connection.say(WELL if mended.is_set() else BUSY)

    async with Peer(ill_at_first) as ill, Peer(HEALTHY) as well:
        front = await start_every(
            upstream_url=None,
            upstreams=[at("ill", ill.url), at("well", well.url, priority=1)],
            eject_after_failures=3,
            eject_failure_rate=1,
            eject_seconds=2,
        )
        for _ in range(6):
            assert (await recorder.ask(front, CHAT)).outcome == (200, "complete", "")
        assert state_of(front, "ill")["state"] == "out"
        assert len(ill.heads) == 3
        mended.set()
        await until(lambda: state_of(front, "ill")["back_in_seconds"] == 0, "it stays out")
        requests = await asyncio.gather(*(recorder.ask(front, CHAT) for _ in range(5)))
        assert {request.outcome for request in requests} == {(200, "complete", "")}
        await until(lambda: state_of(front, "ill")["state"] == "up", "it does not come back")
        assert (await recorder.ask(front, CHAT)).record.upstream == "ill"


async def test_cut_streams_take_an_upstream_out(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """An upstream that answers and then breaks off is no better than one that does not answer."""
    front = await start_every(
        upstream_url=None,
        upstreams=[at("one", recorder.demo.url), at("two", recorder.demo.url, priority=1)],
        eject_after_failures=3,
    )
    for _ in range(3):
        assert (await recorder.ask(front, CHAT, "cut=3")).record.upstream == "one"
    assert state_of(front, "one")["state"] == "out"
    assert (await recorder.ask(front, CHAT)).record.upstream == "two"


async def test_the_last_one_is_never_left_out(start_every: StartWorker, recorder: Recorder) -> None:
    """Where there is no other, a bad upstream is better than none."""
    front = await start_every(eject_after_failures=1, eject_seconds=60, retries=0)
    for _ in range(4):
        assert (await recorder.ask(front, CHAT, "status=503")).outcome[0] == 503
    assert (await recorder.ask(front, CHAT)).outcome == (200, "complete", "")


async def test_retry_after_benches_for_just_so_long(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """Who asked for a pause has it, although it is healthy; then it is asked again."""
    pause = plain(status="503 Service Unavailable", fields={"retry-after-ms": "400"})
    async with Peer(serves(pause, WELL)) as one, Peer(HEALTHY) as two:
        front = await start_every(
            upstream_url=None,
            upstreams=[at("one", one.url), at("two", two.url, priority=1)],
        )
        assert (await recorder.ask(front, CHAT)).record.upstream == "two"
        assert 0 < float(state_of(front, "one")["benched_for_seconds"]) <= 0.4
        assert len(one.heads) == 1
        await until(lambda: not state_of(front, "one")["benched_for_seconds"], "it is still out")
        assert (await recorder.ask(front, CHAT)).record.upstream == "one"


async def test_its_own_limit(start_every: StartWorker, recorder: Recorder, other: Demo) -> None:
    """A full upstream overflows into the next; when all are full, a 503 says so at once."""
    front = await start_every(
        upstream_url=None,
        upstreams=[
            at("small", recorder.demo.url, max_streams=2),
            at("next", other.url, priority=1, max_streams=1),
        ],
    )
    tasks = [
        asyncio.create_task(recorder.ask(front, CHAT, "hang=1;hang-for=0.6")) for _ in range(3)
    ]
    await until(lambda: len(recorder.demo.state.open) + len(other.state.open) == 3, "not all began")
    refused = await recorder.ask(front, CHAT)
    went = Counter([(await request).record.upstream for request in tasks])
    assert went == {"small": 2, "next": 1}
    assert refused.outcome == (503, "shed", "overloaded")
    assert int(refused.answer.headers["Retry-After"]) >= 1


async def test_an_active_probe_brings_it_back(start_every: StartWorker, recorder: Recorder) -> None:
    """Where there is a probe path, no client's request has to find out."""
    ill = True

    async def health(connection: Connection) -> None:
        while True:
            head = await connection.request()
            status = "503 Service Unavailable" if ill else "200 OK"
            await connection.say(plain(b"{}", status=status))
            probed.append(head)

    probed: list[bytes] = []
    async with Peer(health) as one, Peer(HEALTHY) as two:
        front = await start_every(
            upstream_url=None,
            upstreams=[
                at("one", one.url, probe_path="/healthz"),
                at("two", two.url, priority=1),
            ],
            probe_interval_seconds=0.05,
            eject_after_failures=2,
            eject_seconds=0.05,
        )
        await until(lambda: state_of(front, "one")["state"] == "out", "probes find nothing out")
        assert (await recorder.ask(front, CHAT)).record.upstream == "two"
        ill = False
        await until(lambda: state_of(front, "one")["state"] == "up", "it does not come back")
    assert all(b"GET /healthz" in head or b"POST" in head for head in probed)


async def test_each_upstream_gets_its_own_key(start_every: StartWorker, recorder: Recorder) -> None:
    """And never the client's, nor another upstream's."""
    async with Peer(BROKEN) as one, Peer(HEALTHY) as two:
        front = await start_every(
            upstream_url=None,
            upstreams=[
                at("one", one.url, api_key="key-one"),
                at("two", two.url, api_key="key-two", priority=1),
            ],
        )
        await recorder.ask(front, CHAT, more=[("Authorization", "Bearer client-key")])
        assert b"Bearer key-one" in one.heads[0]
        assert b"Bearer key-two" in two.heads[0]
        assert b"client-key" not in one.heads[0] + two.heads[0]


async def test_a_refusal_of_all_is_the_last_ones(
    start_every: StartWorker, recorder: Recorder
) -> None:
    """With nobody left to ask, the client gets what an upstream said, not words of ours."""
    ours = serves(plain(json.dumps({"error": {"message": "mine"}}).encode(), "429 Too Many"))
    async with Peer(BROKEN) as one, Peer(ours) as two:
        front = await start_every(
            upstream_url=None,
            upstreams=[at("one", one.url), at("two", two.url, priority=1)],
            retries=1,
        )
        recorded = await recorder.ask(front, CHAT)
        assert recorded.outcome == (429, "complete", "")
        assert recorded.answer.json()["error"]["message"] == "mine"
