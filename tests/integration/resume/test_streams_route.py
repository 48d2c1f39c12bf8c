"""`/v1/streams/{id}` through a worker alone and behind nginx."""

from __future__ import annotations

import json
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.integration.resume.asking import CHAT, RESUMABLE, ask, asked, begun, chat, ended

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import StartWorker, Worker


@pytest.fixture
async def front(start_front: StartWorker, store: StoreServer) -> Worker:
    return await start_front(store_url=store.url, store_timeout_seconds=5)


async def test_every_cursor_of_a_finished_stream(front: Worker) -> None:
    """From each cursor the rest comes byte for byte, and nothing at all after the last event."""
    plain = await ask(front.url + CHAT, "POST", chat(), **RESUMABLE)
    assert plain.status == 200
    events = plain.events
    assert b"".join(events) == plain.body
    await ended(front.url, plain.stream)
    for after in range(len(events)):
        rest = await ask(f"{front.url}/v1/streams/{plain.stream}?after={after}")
        assert (rest.status, rest.whole) == (200, True)
        assert rest.body == b"".join(events[after:])
        assert rest.headers["Sluice-Ended-By"] == "complete"
        assert rest.headers["Content-Type"] == plain.headers["Content-Type"]
    over = await ask(f"{front.url}/v1/streams/{plain.stream}?after={len(events)}")
    assert (over.status, over.body) == (204, b"")
    assert over.headers["Sluice-Ended-By"] == "complete"


async def test_a_client_that_left_goes_on_where_it_was(front: Worker) -> None:
    """The stream goes on without it, and the rest it gets is what it had not seen, live."""
    model = "demo;tokens=30;rate=30"
    left = await begun(front.url, chat(model), 5)
    seen = left.events
    rest = await ask(f"{front.url}/v1/streams/{left.stream}?after={len(seen)}")
    assert rest.status == 200
    everything = await ask(f"{front.url}/v1/streams/{left.stream}")
    assert b"".join(seen) + rest.body == everything.body
    assert everything.body.endswith(b"data: [DONE]\n\n")


async def test_a_stream_nobody_asked_to_keep_has_no_id(front: Worker) -> None:
    """Without the header the answer is what it always was."""
    plain = await ask(front.url + CHAT, "POST", chat())
    assert plain.status == 200
    assert "Sluice-Stream-Id" not in plain.headers


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("0" * 32, 404),
        ("nonsense", 404),
        ("0" * 31, 404),
        ("{id}?after=x", 400),
        ("{id}?after=-1", 400),
        ("{id}?after=1&after=2", 400),
        ("{id}?after=99999", 400),
        ("{id}?after=99999999999999999999", 400),
    ],
)
async def test_what_is_no_stream_or_no_cursor(front: Worker, path: str, status: int) -> None:
    """Unknown ids are 404, cursors that are none 400: never the stream from its beginning."""
    known = await ask(front.url + CHAT, "POST", chat(), **RESUMABLE)
    await ended(front.url, known.stream)
    answer = await ask(f"{front.url}/v1/streams/{path.format(id=known.stream)}")
    assert answer.status == status
    assert json.loads(answer.body)["error"]["request_id"]


async def test_another_key_sees_nothing(front: Worker) -> None:
    """A log belongs to the key that made it, also where the gateway asks for none."""
    made = await ask(front.url + CHAT, "POST", chat(), Authorization="Bearer a", **RESUMABLE)
    url = f"{front.url}/v1/streams/{made.stream}"
    for other in ({"Authorization": "Bearer b"}, {}):
        assert (await ask(url, **other)).status == 404
        assert (await ask(url, "DELETE", **other)).status == 404
        assert (await ask(url, Accept="application/json", **other)).status == 404
    assert (await ask(url, Authorization="Bearer a")).body == made.body
    assert (await ask(url, **{"x-api-key": "a"})).body == made.body


async def test_detached(front: Worker) -> None:
    """`respond-async` is answered at once, and the answer is made though nobody reads."""
    made = await ask(front.url + CHAT, "POST", chat(), Prefer="respond-async, wait=10")
    assert made.status == 202
    assert made.headers["Preference-Applied"] == "respond-async"
    assert made.headers["Location"] == f"/v1/streams/{made.stream}"
    state = await ended(front.url, made.stream)
    assert state["ended_by"] == "complete"
    read = await ask(front.url + made.headers["Location"])
    assert read.body.endswith(b"data: [DONE]\n\n")
    assert len(read.events) == state["events"]
    # It is the first to see what the upstream said with it.
    assert read.headers["openai-organization"] == "sluice-demo"


async def test_detached_by_a_limited_key(start_front: StartWorker, store: StoreServer) -> None:
    """The answer at once says what the key has left, as every answer of such a key does."""
    # The store is other tests' as well.
    name = secrets.token_hex(4)
    keys = ({"name": name, "key": "sk-team", "requests_per_minute": 60},)
    front = await start_front(store_url=store.url, store_timeout_seconds=5, keys=keys)
    asking = {"Prefer": "respond-async", "Authorization": "Bearer sk-team"}
    made = await ask(front.url + CHAT, "POST", chat(), **asking)
    assert made.status == 202
    assert made.headers["x-ratelimit-limit-requests"] == "60"
    assert made.headers["x-ratelimit-remaining-requests"] == "59"


async def test_deleting_stops_the_upstream(front: Worker) -> None:
    """DELETE ends the stream where it is made, says so to its readers, and may be repeated."""
    left = await begun(front.url, chat("demo;tokens=10000;rate=50"), 3)
    url = f"{front.url}/v1/streams/{left.stream}"
    async with asked(url) as reading:
        await reading.content.readany()
        assert (await ask(url, "DELETE")).status == 204
        state = await ended(front.url, left.stream)
    assert (await ask(url, "DELETE")).status == 204
    assert state["ended_by"] == "client_left"
    assert state["error"] == "stopped"
    rest = await ask(url)
    assert (rest.status, rest.whole) == (200, False)
    assert b'"stopped"' in rest.events[-1]
    assert (await ask(f"{url}?after={state['events']}")).status == 204


async def test_ids_for_browsers(front: Worker) -> None:
    """With ids every event says where it stands, and going on by the last id misses nothing."""
    made = await ask(front.url + CHAT, "POST", chat(), **RESUMABLE)
    await ended(front.url, made.stream)
    url = f"{front.url}/v1/streams/{made.stream}"
    read = await ask(f"{url}?ids=1")
    count = len(made.events)
    ids = [line for line in read.body.splitlines() if line.startswith(b"id: ")]
    numbers = [*range(1, count + 1), count]
    assert ids == [f"id: {made.stream}:{number}".encode() for number in numbers]
    assert read.events[-1].startswith(b"event: done\n")
    later = await ask(url, **{"Last-Event-ID": f"{made.stream}:{count - 2}"})
    # As `/v1/stream` does, both say first when to come again.
    assert read.body.startswith(b"retry: 1000\ndata: ")
    assert later.body == b"retry: 1000\n" + b"".join(read.events[-3:])
    over = await ask(url, **{"Last-Event-ID": f"{made.stream}:{count}"})
    assert over.status == 204
    for wrong in ("f" * 32 + ":1", "1", f"{made.stream}:x"):
        assert (await ask(url, **{"Last-Event-ID": wrong})).status == 404


async def test_a_browsers_event_source(front: Worker) -> None:
    """It is told by its headers, so that its reconnects go on; a fetch that has a cursor is not."""
    made = await ask(front.url + CHAT, "POST", chat(), **RESUMABLE)
    await ended(front.url, made.stream)
    url = f"{front.url}/v1/streams/{made.stream}"
    browser = {
        "Accept": "text/event-stream",
        "Cache-Control": "no-cache",
        "Sec-Fetch-Mode": "cors",
    }
    read = await ask(f"{url}?progress=1", **browser)
    assert f"id: {made.stream}:1\n".encode() in read.events[0]
    assert b"event: done\n" in read.body
    assert (await ask(f"{url}?after=0", **browser)).body == made.body
    assert (await ask(f"{url}?ids=0", **browser)).body == made.body
    assert (await ask(url, Accept="text/event-stream")).body == made.body
