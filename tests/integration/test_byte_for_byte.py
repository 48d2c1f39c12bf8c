"""A healthy stream passes as it came, byte for byte, however it was cut on its way."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import aiohttp
import pytest

from tests.demo.peer import FAMILIES, body_for
from tests.integration.conftest import Demo, StartWorker
from tests.integration.corpus import PATHS, Recording, events_of, recordings
from tests.integration.raw import Line, Whole, request
from tests.upstream.peer import EVENTS, LAST_CHUNK, Connection, Peer, chunk

JSON = ("Content-Type", "application/json")
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
ASKS_FOR_USAGE = {"stream_options": {"include_usage": True}}
DEMO_WORDS = ("", "crlf", "cr", "comments;fields", "multiline", "no-space", "bom", "pings")
_DEMO_STREAMS: dict[bytes, bytes] = {}


def whole(raw: bytes) -> Iterator[bytes]:
    """All at once, with its length."""
    yield HEAD + b"Content-Length: %d\r\n\r\n" % len(raw) + raw


def by_event(raw: bytes) -> Iterator[bytes]:
    """An event in each chunk."""
    yield EVENTS
    events = events_of(raw)
    rest = raw[sum(map(len, events)) :]
    for event in (*events, rest):
        if event:
            yield chunk(event)
    yield LAST_CHUNK


def by_few_bytes(raw: bytes) -> Iterator[bytes]:
    """Two hundred chunks or so, each of a few bytes."""
    size = len(raw) // 200 + 1
    yield EVENTS
    for start in range(0, len(raw), size):
        yield chunk(raw[start : start + size])
    yield LAST_CHUNK


def anywhere(raw: bytes) -> Iterator[bytes]:
    """Cut without regard to events, chunks or characters."""
    dice = random.Random(len(raw))
    wire = b"".join(by_event(raw))
    start = 0
    while start < len(wire):
        end = start + dice.choice((1, 2, 3, 17, 60, 200, 1000, 5000))
        yield wire[start:end]
        start = end


def until_the_close(raw: bytes) -> Iterator[bytes]:
    """Neither a length nor chunks: the connection's end ends it."""
    yield HEAD + b"Connection: close\r\n\r\n"
    for start in range(0, len(raw), 700):
        yield raw[start : start + 700]


CUTS = [whole, by_event, by_few_bytes, anywhere, until_the_close]
Cut = Callable[[bytes], Iterator[bytes]]


def replays(cut: Cut, streams: dict[bytes, bytes]) -> Callable[[Connection], Awaitable[None]]:
    """A script: each request names the stream that it wants, and gets it cut like this."""

    async def script(connection: Connection) -> None:
        while True:
            head = await connection.request()
            name = head.partition(b"\r\nX-Stream: ")[2].partition(b"\r\n")[0]
            await connection.say(*cut(streams[name]))
            if cut is until_the_close:
                return

    return script


def ask(path: str, name: str, document: Any) -> bytes:
    """A request for one of the streams."""
    fields = [JSON, ("X-Stream", name)]
    return request("POST", path, json.dumps(document).encode(), fields)


async def replayed(line: Line, recording: Recording, **more: Any) -> Whole:
    """The recording, as a client gets it."""
    document = {"model": "m", "stream": True, **more}
    return await line.whole(ask(recording.path, recording.name, document))


@pytest.mark.parametrize("cut", CUTS)
async def test_recorded_streams_pass_unchanged(start_every: StartWorker, cut: Cut) -> None:
    """Every provider's own bytes: line ends, comments, odd spaces, errors inside, and all."""
    streams = {stream.name.encode(): stream.raw for stream in recordings()}
    async with Peer(replays(cut, streams)) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            for recording in recordings():
                got = await replayed(line, recording, **ASKS_FOR_USAGE)
                assert (recording.name, got.status) == (recording.name, 200)
                assert (recording.name, got.body) == (recording.name, recording.raw)


@pytest.mark.parametrize("cut", CUTS)
async def test_only_the_usage_chunk_is_kept_from_who_did_not_ask(
    start_every: StartWorker, cut: Cut
) -> None:
    """Usage was asked for on the client's behalf; all the rest of the stream stays as it came."""
    chats = [stream for stream in recordings() if stream.family == "chat"]
    async with Peer(replays(cut, {chat.name.encode(): chat.raw for chat in chats})) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            for recording in chats:
                got = await replayed(line, recording)
                assert (recording.name, got.body) == (recording.name, recording.without_usage)
        assert all(b'"include_usage":true' in body for body in peer.bodies)
    assert any(chat.raw != chat.without_usage for chat in chats)


@pytest.mark.parametrize("cut", CUTS)
async def test_a_stream_of_each_family_passes_unchanged(
    start_every: StartWorker, demo: Demo, http: aiohttp.ClientSession, cut: Cut
) -> None:
    """The same with the demo's streams, odd forms among them."""
    streams = await demo_streams(demo, http)
    async with Peer(replays(cut, streams)) as peer:
        front = await start_every(upstream_url=peer.url)
        async with await Line.open(front.url) as line:
            for name, raw in streams.items():
                family = name.decode().partition("-")[0]
                document = {"model": "m", "stream": True, **ASKS_FOR_USAGE}
                got = await line.whole(ask(PATHS[family], name.decode(), document))
                assert (name, got.body) == (name, raw)


async def demo_streams(demo: Demo, http: aiohttp.ClientSession) -> dict[bytes, bytes]:
    """The demo's streams of each family, asked for once in all tests."""
    if not _DEMO_STREAMS:
        for family in FAMILIES:
            for number, word in enumerate(DEMO_WORDS):
                path, body = body_for(family, f"tokens=9;{word}", **_usage(family))
                async with http.post(demo.url + path, data=body) as answer:
                    _DEMO_STREAMS[f"{family}-{number}".encode()] = await answer.read()
    return _DEMO_STREAMS


def _usage(family: str) -> dict[str, Any]:
    return ASKS_FOR_USAGE if family == "chat" else {}
