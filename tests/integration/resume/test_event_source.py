"""`/v1/stream` as browsers use it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.integration.resume.asking import ask, asked, ended

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import Demo, StartWorker, Worker

FIELDS = (b"id:", b"data:", b"event:", b"retry:")


@pytest.fixture
async def front(start_front: StartWorker, own_store: StoreServer) -> Worker:
    return await start_front(store_url=own_store.url, store_timeout_seconds=5)


def last_id(body: bytes) -> str:
    """The id of the last whole event, as a browser keeps it."""
    whole = body[: body.rindex(b"\n\n")]
    ids = [line for line in whole.splitlines() if line.startswith(b"id: ")]
    return ids[-1].removeprefix(b"id: ").decode()


def without_ids(body: bytes) -> bytes:
    """What the events say."""
    lines = body.splitlines(keepends=True)
    return b"".join(line for line in lines if line.startswith(b"data: "))


async def test_a_question_and_its_end(front: Worker) -> None:
    """`retry:` and an id come first, each event has an id, and after `done` there is nothing."""
    url = f"{front.url}/v1/stream?model=demo;tokens=5&q=Hello1&system=Be+brief"
    answer = await ask(url)
    assert (answer.status, answer.whole) == (200, True)
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    assert answer.body.startswith(b"retry: 1000\nid: " + answer.stream.encode() + b":0\n\n")
    assert b"data: [DONE]\n" in answer.body
    assert answer.events[-1].startswith(b"event: done\n")
    assert b'"ended_by": "complete"' in answer.events[-1]
    over = await ask(url, **{"Last-Event-ID": last_id(answer.body)})
    assert over.status == 204


async def test_a_broken_connection_asks_once(front: Worker, demo: Demo) -> None:
    """However often it breaks, the browser has every event once, and one request was made."""
    url = f"{front.url}/v1/stream?model=demo;tokens=40;rate=15&q=Hello2"
    texts, last = [], ""
    for events in (0, 3, 1, 10, 0):
        more = {"Last-Event-ID": last} if last else {}
        async with asked(url, **more) as answer:
            assert answer.status == 200
            body = b""
            while body.count(b"\n\n") <= events:
                body += await answer.content.readany()
        whole = body[: body.rindex(b"\n\n") + 2]
        texts.append(without_ids(whole))
        last = last_id(whole)
    rest = await ask(url, **{"Last-Event-ID": last})
    stream = last.partition(":")[0]
    everything = await ask(f"{front.url}/v1/streams/{stream}?ids=1")
    joined, expected = b"".join(texts) + without_ids(rest.body), without_ids(everything.body)
    assert joined == expected
    assert demo.state.seen == 1


async def test_asked_again_without_an_id(front: Worker, demo: Demo) -> None:
    """A connection that broke before its first byte finds its answer by the question."""
    url = f"{front.url}/v1/stream?model=demo;tokens=20;rate=20&q=Hello3"
    async with asked(url) as answer:
        first = answer.headers["Sluice-Stream-Id"]
    again = await ask(url)
    assert again.stream == first
    assert again.events[-1].startswith(b"event: done\n")
    anew = await ask(url)
    assert anew.stream != first
    assert demo.state.seen == 2


async def test_one_question_is_asked_once(front: Worker, demo: Demo) -> None:
    """A page that gives its URL a word of its own is billed once, whoever else still reads."""
    url = f"{front.url}/v1/stream?model=demo;tokens=20;rate=20&q=Hello8&once=7f3a"
    async with asked(url) as answer:
        first = answer.headers["Sluice-Stream-Id"]
        await answer.content.readany()
        # As after a network that was cut: for Sluice the first connection is still there.
        again = await ask(url)
    later = await ask(url)
    assert again.stream == later.stream == first
    assert again.body == later.body
    assert demo.state.seen == 1
    other = await ask(url.replace("7f3a", "7f3b"))
    assert other.stream != first


@pytest.mark.parametrize(
    ("query", "status"), [("", 400), ("?model=demo", 400), ("?q=Hello4", 400), ("?model=&q=x", 400)]
)
async def test_half_a_question(front: Worker, query: str, status: int) -> None:
    """Both the model and the question are needed."""
    assert (await ask(f"{front.url}/v1/stream{query}")).status == status


async def test_another_streams_cursor(front: Worker) -> None:
    """A cursor of another stream is 404, never the answer from its beginning."""
    url = f"{front.url}/v1/stream?model=demo&q=Hello5"
    for wrong in ("0" * 32 + ":3", "5", "nonsense:1"):
        assert (await ask(url, **{"Last-Event-ID": wrong})).status == 404


async def test_progress(front: Worker) -> None:
    """Frames between the events; 100 comes once, with the end."""
    url = f"{front.url}/v1/stream?model=demo;tokens=20;rate=20&q=Hello6&progress=1"
    answer = await ask(url)
    frames = answer.body.count(b"event: progress\n")
    assert frames >= 2
    assert answer.body.count(b'"percent": 100,') == 1
    assert b'"stage": "ended"' in answer.body
    await ended(front.url, answer.stream)


async def test_nobody_reads_on(start_front: StartWorker, store: StoreServer) -> None:
    """Without a reader the upstream is stopped after the grace time."""
    front = await start_front(store_url=store.url, grace_seconds=0.5)
    async with asked(f"{front.url}/v1/stream?model=demo;tokens=9999;rate=20&q=Hello7") as answer:
        stream = answer.headers["Sluice-Stream-Id"]
        await answer.content.readany()
    state = await ended(front.url, stream)
    assert (state["ended_by"], state["error"]) == ("client_left", "nobody_reads")
