"""The pool of connections, against scripted peers on real sockets."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from proxy.http import connector
from proxy.upstream.transport import Transport
from tests.upstream.kit import GOOD, send, whole
from tests.upstream.peer import DEADLINE, EVENTS, LAST_CHUNK, Connection, Peer, chunk, plain, serves

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def test_an_old_connection_gets_no_further_request() -> None:
    """A connection in constant use is closed at its age, and the next request gets a new one."""
    async with Transport(connection_age=0.4) as transport, Peer(serves(plain())) as peer:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        while loop.time() - begun < DEADLINE and peer.accepted < 3:
            await whole(await send(transport, peer))
            await asyncio.sleep(0.01)
        assert peer.accepted == 3
        assert loop.time() - begun >= 0.3
        assert peer.open <= 2


async def test_an_old_connection_is_closed_when_its_answer_ends() -> None:
    """A stream that runs is never cut for its connection's age."""

    async def slowly(connection: Connection) -> None:
        await connection.request()
        await connection.say(EVENTS)
        await asyncio.sleep(0.1)
        await connection.say(chunk(b"data: 1\n\n") + LAST_CHUNK)
        await connection.left()

    async with Transport(connection_age=0.05) as transport, Peer(slowly, serves(GOOD)) as peer:
        assert await whole(await send(transport, peer)) == b"data: 1\n\n"
        await peer.all_closed()
        assert await whole(await send(transport, peer)) == b"data: 1\n\n"
        assert peer.accepted == 2


async def test_a_name_that_moved_is_followed_within_the_age(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Under constant use nothing goes to the old address once the age is over."""
    async with (
        Transport(connection_age=0.5) as transport,
        Peer(serves(plain(b"old"))) as old,
        Peer(serves(plain(b"new"))) as new,
    ):
        ports = [int(peer.url.rpartition(":")[2]) for peer in (old, new)]
        now = ports[0]

        async def resolve(host: str, port: int = 0, family: int = 0) -> list[dict[str, object]]:
            return [
                {"hostname": host, "host": "127.0.0.1", "port": now, "family": 2, "proto": 6}
                | {"flags": 0}
            ]

        monkeypatch.setattr(transport._connector._resolver, "resolve", resolve)
        named = Peer()
        named.url = f"http://moving.test:{ports[0]}"
        assert await whole(await send(transport, named)) == b"old"
        now = ports[1]
        loop = asyncio.get_running_loop()
        moved = loop.time()
        while (body := await whole(await send(transport, named))) == b"old":
            assert loop.time() - moved < 0.6
            await asyncio.sleep(0.01)
        assert body == b"new"


def late(delay: float, *answers: bytes) -> Callable[[Connection], Awaitable[None]]:
    """A script: one answer, then, after seconds, what nobody asked for."""

    async def script(connection: Connection) -> None:
        await connection.request()
        await connection.say(answers[0])
        await asyncio.sleep(delay)
        await connection.say(*answers[1:])
        while True:
            await connection.request()
            await connection.say(answers[0])

    return script


async def test_an_upstream_is_listened_to_before_its_first_connection_is_used_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What it says right after its answer comes before the next request, however fast that is."""
    monkeypatch.setattr(connector, "SILENCE_SECONDS", 0.3)
    script = late(0.05, plain(b"1"), plain(b"nobody's"))
    async with Transport() as transport, Peer(script, serves(plain(b"2"))) as peer:
        assert await whole(await send(transport, peer)) == b"1"
        assert await whole(await send(transport, peer)) == b"2"
        assert peer.accepted == 2


async def test_an_upstream_is_listened_to_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that was silent after an answer is trusted, and later requests do not wait."""
    monkeypatch.setattr(connector, "SILENCE_SECONDS", 0.2)
    async with Transport() as transport, Peer(serves(plain())) as peer:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(50):
            await whole(await send(transport, peer))
        assert 0.2 <= loop.time() - begun < 5.0
        assert peer.accepted == 1


@pytest.mark.parametrize(("soon", "reused"), [(10.0, False), (0.0, True)])
async def test_after_a_word_right_after_an_answer_connections_are_used_once(
    monkeypatch: pytest.MonkeyPatch, soon: float, reused: bool
) -> None:
    """For a while; a balancer that gives up a connection at rest is no sign of disorder."""
    monkeypatch.setattr(connector, "_SOON_AFTER_SECONDS", soon)
    script = late(0.0, plain(b"1"), plain(b"nobody's"))
    async with Transport() as transport, Peer(script, serves(plain(b"2"))) as peer:
        await whole(await send(transport, peer))
        await peer.all_closed()
        for _ in range(3):
            assert await whole(await send(transport, peer)) == b"2"
        assert peer.accepted == (2 if reused else 4)
        later = time.monotonic() + connector._DISTRUSTED_SECONDS
        monkeypatch.setattr(connector, "monotonic", lambda: later)
        before = peer.accepted
        for _ in range(3):
            assert await whole(await send(transport, peer)) == b"2"
        assert peer.accepted <= before + 1
