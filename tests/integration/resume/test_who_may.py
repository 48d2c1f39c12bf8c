"""Which streams are kept, for whom, for how long, and what browsers of other origins may see."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, begun, chat, ended

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import StartWorker, Worker

ID = "Sluice-Stream-Id"
ORIGIN = "https://app.example"
SECRETS = {"alice": "a" * 20, "bob": "b" * 20}
KEYS = (
    {"name": "alice", "key": SECRETS["alice"], "resumable": True},
    {"name": "bob", "key": SECRETS["bob"]},
)


def key(name: str) -> dict[str, str]:
    """The header that shows who asks."""
    return {"Authorization": f"Bearer {SECRETS[name]}"}


async def is_kept(worker: Worker, **headers: str) -> bool:
    """Whether a stream that is asked for like this can be resumed."""
    made = await ask(worker.url + CHAT, "POST", chat("demo;tokens=2"), **headers)
    assert (made.status, made.whole) == (200, True)
    return ID in made.headers


async def test_by_request(start_worker: StartWorker, store: StoreServer) -> None:
    """As it comes: those who ask for it, in whatever spelling."""
    worker = await start_worker(store_url=store.url, store_timeout_seconds=5)
    assert not await is_kept(worker)
    assert await is_kept(worker, **RESUMABLE)
    assert await is_kept(worker, **{"sluice-resumable": "TRUE"})
    assert not await is_kept(worker, **{"Sluice-Resumable": "false"})


async def test_all(start_worker: StartWorker, store: StoreServer) -> None:
    """Every stream but those that say no; what is no stream is not."""
    worker = await start_worker(store_url=store.url, store_timeout_seconds=5, resumable="all")
    assert await is_kept(worker)
    assert not await is_kept(worker, **{"Sluice-Resumable": "false"})
    whole = await ask(worker.url + CHAT, "POST", chat("demo;tokens=2") | {"stream": False})
    assert ID not in whole.headers


async def test_off(start_worker: StartWorker, store: StoreServer) -> None:
    """None, whoever asks; what would read one is 404, and a detached request waits as any other."""
    worker = await start_worker(store_url=store.url, resumable="off")
    assert not await is_kept(worker, **RESUMABLE)
    assert (await ask(f"{worker.url}/v1/streams/{'0' * 32}")).status == 404
    detached = await ask(worker.url + CHAT, "POST", chat("demo;tokens=2"), Prefer="respond-async")
    assert detached.status == 200
    assert "Preference-Applied" not in detached.headers


async def test_by_key(start_worker: StartWorker, store: StoreServer) -> None:
    """All streams of one key; of the other those that ask. Neither finds the other's."""
    worker = await start_worker(store_url=store.url, store_timeout_seconds=5, keys=KEYS)
    assert await is_kept(worker, **key("alice"))
    assert not await is_kept(worker, **key("bob"))
    made = await ask(worker.url + CHAT, "POST", chat(), **RESUMABLE, **key("bob"))
    url = f"{worker.url}/v1/streams/{made.stream}"
    for headers in ({}, {"Accept": "application/json"}, {"Last-Event-ID": f"{made.stream}:1"}):
        assert (await ask(url, **headers, **key("alice"))).status == 404
        assert (await ask(url, **headers, **key("bob"))).status == 200
        assert (await ask(url, **headers)).status == 401
    assert (await ask(url, "DELETE", **key("alice"))).status == 404
    assert (await ask(url, "DELETE", **key("bob"))).status == 204


async def test_until_it_expires(start_worker: StartWorker, store: StoreServer) -> None:
    """After its time it is unknown, to every way of asking."""
    worker = await start_worker(
        store_url=store.url, store_timeout_seconds=5, resume_ttl_seconds=1.5
    )
    made = await ask(worker.url + CHAT, "POST", chat("demo;tokens=3"), **RESUMABLE)
    url = f"{worker.url}/v1/streams/{made.stream}"
    assert (await ask(url)).body == made.body
    async with asyncio.timeout(20):
        while (await ask(url)).status != 404:
            await asyncio.sleep(0.3)
    assert (await ask(url, Accept="application/json")).status == 404
    assert (await ask(f"{url}?after=1")).status == 404
    assert (await ask(url, "DELETE")).status == 404


async def test_readers_in_all(start_worker: StartWorker, own_store: StoreServer) -> None:
    """One more than may read anything is told when to come back."""
    worker = await start_worker(store_url=own_store.url, resume_readers=1, store_timeout_seconds=5)
    left = [await begun(worker.url, chat("demo;tokens=300;rate=40"), 2) for _ in range(2)]
    one, other = (f"{worker.url}/v1/streams/{each.stream}" for each in left)
    async with asked(one) as reading:
        await reading.content.readany()
        over = await ask(other)
        assert (over.status, over.headers["Retry-After"]) == (503, "1")
        # A state is not read on, and takes no place.
        assert (await ask(other, Accept="application/json")).status == 200
    for url in (one, other):
        assert (await ask(url, "DELETE")).status == 204


async def test_other_methods(start_front: StartWorker, store: StoreServer) -> None:
    """A stream is read and stopped; all else is 405, and says what may be done."""
    front = await start_front(store_url=store.url, store_timeout_seconds=5)
    made = await ask(front.url + CHAT, "POST", chat("demo;tokens=2"), **RESUMABLE)
    for method in ("POST", "PUT", "PATCH"):
        answer = await ask(f"{front.url}/v1/streams/{made.stream}", method)
        assert (method, answer.status) == (method, 405)
        allowed = set(answer.headers["Allow"].replace(" ", "").split(","))
        assert allowed == {"GET", "HEAD", "DELETE"}


async def test_the_head_alone(start_front: StartWorker, store: StoreServer) -> None:
    """HEAD says what a GET would, and is no reader: the stream does not go on for it."""
    front = await start_front(store_url=store.url, store_timeout_seconds=5, grace_seconds=1)
    left = await begun(front.url, chat("demo;tokens=99999;rate=20"), 2)
    url = f"{front.url}/v1/streams/{left.stream}"
    state: dict[str, Any] = {}
    while state.get("status") != "ended":
        head = await ask(url, "HEAD")
        assert (head.status, head.body, head.stream) == (200, b"", left.stream)
        assert head.headers["Content-Type"] == left.headers["Content-Type"]
        state = json.loads((await ask(url, Accept="application/json")).body)
        await asyncio.sleep(0.05)
    assert state["error"] == "nobody_reads"
    assert (await ask(url, "HEAD")).headers["Sluice-Ended-By"] == "client_left"
    over = await ask(f"{url}?after={state['events']}", "HEAD")
    assert (over.status, over.headers["Sluice-Ended-By"]) == (204, "client_left")
    assert (await ask(f"{front.url}/v1/streams/{'0' * 32}", "HEAD")).status == 404


async def test_browsers_of_another_origin(start_front: StartWorker, store: StoreServer) -> None:
    """Each route answers them, and so do errors, with the headers that a page needs to resume."""
    front = await start_front(
        store_url=store.url, store_timeout_seconds=5, cors_origins=(ORIGIN,), upstream_api_key="k"
    )
    there = {"Origin": ORIGIN}
    made = await ask(front.url + CHAT, "POST", chat(), **RESUMABLE, **there)
    detached = await ask(front.url + CHAT, "POST", chat(), Prefer="respond-async", **there)
    assert (made.status, detached.status) == (200, 202)
    state = await ended(front.url, made.stream)
    url = f"{front.url}/v1/streams/{made.stream}"
    answers = [
        made,
        detached,
        await ask(url, **there),
        await ask(url, Accept="application/json", **there),
        await ask(f"{url}?after={state['events']}", **there),
        await ask(f"{url}?after=x", **there),
        await ask(f"{front.url}/v1/streams/{'0' * 32}", **there),
        await ask(f"{front.url}/v1/stream?model=demo;tokens=2&q=Hello9", **there),
        await ask(url, "DELETE", **there),
    ]
    assert [response.status for response in answers] == [
        200,
        202,
        200,
        200,
        204,
        400,
        404,
        200,
        204,
    ]
    for answer in answers:
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        shown = answer.headers["Access-Control-Expose-Headers"].lower()
        for name in (ID, "Sluice-Ended-By", "Location", "Preference-Applied", "Retry-After"):
            assert name.lower() in shown
    for method in ("GET", "DELETE"):
        asks = {
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "authorization,last-event-id,prefer,sluice-resumable",
        }
        leave = await ask(url, "OPTIONS", **there, **asks)
        assert leave.status in {200, 204}
        assert method in leave.headers["Access-Control-Allow-Methods"]
        allowed = leave.headers["Access-Control-Allow-Headers"].lower()
        assert allowed == "*" or all(
            name in allowed for name in asks["Access-Control-Request-Headers"].split(",")
        )


@pytest.mark.parametrize("cursor", ["x", "-1", "1.5", "1e3", "", " 1", "%31%0a", "٣", "1" * 16])
async def test_cursors_that_are_none(
    start_worker: StartWorker, store: StoreServer, cursor: str
) -> None:
    """400, never the stream from its beginning."""
    worker = await start_worker(store_url=store.url, store_timeout_seconds=5)
    made = await ask(worker.url + CHAT, "POST", chat("demo;tokens=2"), **RESUMABLE)
    assert (await ask(f"{worker.url}/v1/streams/{made.stream}?after={cursor}")).status == 400
