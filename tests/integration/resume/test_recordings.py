"""Every recorded stream through Sluice, and again from its log, byte for byte, from any cursor."""

from __future__ import annotations

from typing import TYPE_CHECKING

import aiohttp
import pytest

from tests.fixtures.recordings import stream_files
from tests.integration.corpus import PATHS
from tests.integration.resume.asking import RESUMABLE, Answer, ask, ended
from tests.integration.test_byte_for_byte import ASKS_FOR_USAGE, CUTS, Cut, anywhere, replays
from tests.upstream.peer import Peer

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import StartWorker

STREAMS = {name: file.raw for name, file in sorted(stream_files().items())}
UNDERSTOOD = ("chat", "completions", "responses", "messages", "gemini")
SAMPLES = 2


async def live(url: str, name: str) -> Answer:
    """A recording as its first client gets it; one of a family of its own as a chat stream."""
    family = stream_files()[name].truth["format"]
    path = PATHS[family if family in UNDERSTOOD else "chat"]
    body = {"model": "m", "stream": True, **ASKS_FOR_USAGE}
    return await ask(url + path, "POST", body, **RESUMABLE, **{"X-Stream": name})


def some(events: int) -> list[int]:
    """The first cursor, the last ones, and a few between."""
    step = max(1, events // SAMPLES)
    return sorted({*range(0, events, step), events - 1})


async def read_again(url: str, name: str, *, every: bool) -> None:
    """From cursors on there come the bytes that the first client had after so many events."""
    first = await live(url, name)
    assert (name, first.status) == (name, 200)
    assert first.body.startswith(STREAMS[name])
    state = await ended(url, first.stream)
    events = first.events
    assert (name, state["events"]) == (name, len(events))
    rest = len(first.body) - sum(map(len, events))
    async with aiohttp.ClientSession(auto_decompress=False) as http:
        for after in range(len(events)) if every else some(len(events)):
            address = f"{url}/v1/streams/{first.stream}?after={after}"
            async with http.get(address) as answer:
                body = b""
                whole = True
                try:
                    while part := await answer.content.readany():
                        body += part
                except aiohttp.ClientError:
                    whole = False
            expected = first.body[sum(map(len, events[:after])) :]
            assert (name, after, answer.status, body) == (name, after, 200, expected)
            assert (name, after, whole) == (name, after, first.whole)
    over = await ask(f"{url}/v1/streams/{first.stream}?after={len(events)}")
    assert (name, over.status) == (name, 200 if rest else 204)


async def test_from_some_cursors(start_worker: StartWorker, store: StoreServer) -> None:
    """However it was cut on its way: line ends, comments, odd spaces, errors inside, and all."""
    async with Peer(replays(anywhere, {n.encode(): raw for n, raw in STREAMS.items()})) as peer:
        worker = await start_worker(
            upstream_url=peer.url, store_url=store.url, store_timeout_seconds=5
        )
        for name in STREAMS:
            await read_again(worker.url, name, every=False)


@pytest.mark.resume
@pytest.mark.timeout(580, method="thread")
@pytest.mark.parametrize("cut", CUTS)
async def test_from_every_cursor(start_front: StartWorker, store: StoreServer, cut: Cut) -> None:
    """The same from each, behind nginx as well."""
    async with Peer(replays(cut, {n.encode(): raw for n, raw in STREAMS.items()})) as peer:
        front = await start_front(
            upstream_url=peer.url, store_url=store.url, store_timeout_seconds=5
        )
        for name in STREAMS:
            await read_again(front.url, name, every=True)
