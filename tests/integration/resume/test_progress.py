"""`Sluice-Progress: true` on a request that is answered live."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from tests.demo.peer import FAMILIES, body_for
from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, chat, ended

if TYPE_CHECKING:
    import aiohttp

    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import StartWorker, Worker

PROGRESS = {"Sluice-Progress": "true"}
_FRAME = re.compile(rb"event: progress\ndata: (.*)\n\n")


def frames_of(body: bytes) -> list[dict[str, Any]]:
    """What the frames say."""
    return [json.loads(data) for data in _FRAME.findall(body)]


@pytest.fixture
async def front(start_front: StartWorker, store: StoreServer) -> Worker:
    return await start_front(store_url=store.url, store_timeout_seconds=5)


@pytest.mark.parametrize("words", ["", "split", "crlf", "comments"])
@pytest.mark.parametrize("family", FAMILIES)
async def test_frames_between_the_events(
    start_worker: StartWorker, store: StoreServer, family: str, words: str
) -> None:
    """The events are those of the log, byte for byte; the last frame says 100, and no other."""
    worker = await start_worker(store_url=store.url, store_timeout_seconds=5)
    path, body = body_for(family, f"tokens=20;rate=25;{words}")
    live = await ask(worker.url + path, "POST", json.loads(body), **RESUMABLE, **PROGRESS)
    assert (live.status, live.whole) == (200, True)
    frames = frames_of(live.body)
    assert frames[-1]["percent"] == 100
    assert frames[-1]["stage"] == "ended"
    assert "generating" in {frame["stage"] for frame in frames}
    assert all(frame.get("percent", 0) < 100 for frame in frames[:-1])
    assert live.body[live.body.rindex(b"event: ") :].startswith(b"event: progress\n")
    await ended(worker.url, live.stream)
    replayed = await ask(f"{worker.url}/v1/streams/{live.stream}")
    assert _FRAME.sub(b"", live.body) == replayed.body
    # As the client counts; where a comment had begun, the frame is the end of that block.
    assert len(live.events) == len(replayed.events)


async def test_where_a_most_is_asked_for_there_is_a_percentage(front: Worker) -> None:
    """It never falls, is below 100 until the end, and says what is left."""
    body = chat("demo;tokens=40;rate=40;ttft=0.3") | {"max_tokens": 40}
    live = await ask(front.url + CHAT, "POST", body, **RESUMABLE, **PROGRESS)
    frames = frames_of(live.body)
    percents = [frame["percent"] for frame in frames if "percent" in frame]
    assert len(percents) > 2
    assert percents == sorted(percents)
    assert percents.count(100) == 1
    assert any("left_seconds" in frame for frame in frames[:-1])


async def test_a_stream_that_breaks(front: Worker) -> None:
    """The terminal error is the last event of the answer; then comes the end's frame."""
    body = chat("demo;tokens=40;rate=40;cut=12")
    live = await ask(front.url + CHAT, "POST", body, **RESUMABLE, **PROGRESS)
    assert not live.whole
    assert b'"error"' in live.events[-1]
    assert frames_of(live.body)[-1]["stage"] == "ended"


async def test_what_is_no_stream_has_no_frames(front: Worker) -> None:
    """A JSON answer, a refusal, and a stream whose client has not asked."""
    whole = chat("demo;tokens=5") | {"stream": False}
    answer = await ask(front.url + CHAT, "POST", whole, **RESUMABLE, **PROGRESS)
    assert json.loads(answer.body)["object"] == "chat.completion"
    refused = await ask(front.url + CHAT, "POST", chat("demo;status=400"), **RESUMABLE, **PROGRESS)
    assert refused.status == 400
    assert json.loads(refused.body)["error"]
    plain = await ask(front.url + CHAT, "POST", chat("demo;tokens=20;rate=40"), **RESUMABLE)
    assert b"event: progress" not in plain.body


async def test_without_a_log(start_worker: StartWorker) -> None:
    """Where no stream can be resumed its client is told all the same."""
    worker = await start_worker(resumable="off")
    live = await ask(worker.url + CHAT, "POST", chat("demo;tokens=20;rate=40"), **PROGRESS)
    assert "Sluice-Stream-Id" not in live.headers
    assert frames_of(live.body)[-1]["percent"] == 100


async def test_over_a_break_to_another_worker(
    start_worker: StartWorker, store: StoreServer
) -> None:
    """It does not run backwards, though the store has figures that are half a second old."""
    one, other = [
        await start_worker(store_url=store.url, store_timeout_seconds=5) for _ in range(2)
    ]
    body = chat("demo;tokens=400;rate=40") | {"max_tokens": 400}
    async with asked(one.url + CHAT, "POST", body, **RESUMABLE, **PROGRESS) as live:
        url = f"{other.url}/v1/streams/{live.headers['Sluice-Stream-Id']}"
        for frames in (4, 1, 2):
            seen = await frames_within(live, frames)
            async with asked(f"{url}?progress=1") as again:
                [first, *_] = await frames_within(again, 1)
            assert first["percent"] >= seen[-1]["percent"] > 0
    assert (await ask(url, "DELETE")).status == 204


async def frames_within(answer: aiohttp.ClientResponse, count: int) -> list[dict[str, Any]]:
    """So many further frames of a stream."""
    body = b""
    while len(frames_of(body)) < count:
        part = await answer.content.readany()
        assert part, "it ended before that"
        body += part
    return frames_of(body)
