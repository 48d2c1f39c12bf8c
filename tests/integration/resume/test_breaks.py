"""Readers that lose their connection anywhere: inside events, inside characters, again at once."""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

import pytest

from proxy.relay.event_cutter import EventCutter
from tests.integration.resume.asking import CHAT, ask, asked, chat

if TYPE_CHECKING:
    from tests.fixtures.stores import StoreServer
    from tests.integration.conftest import StartWorker

PIECES = (0, 0, 1, 7, 150, 333, 1000, 4000)
"""After how many bytes a connection breaks; after none: before anything has come."""


async def read_with_breaks(urls: list[str], path: str, dice: random.Random) -> bytes:
    """All events, over as many connections as it takes, now to one worker and now to another."""
    events: list[bytes] = []
    while True:
        whole = dice.random() < 0.05
        async with asked(f"{dice.choice(urls)}{path}?after={len(events)}") as answer:
            if answer.status == 204:
                return b"".join(events)
            assert answer.status == 200
            cutter, left = EventCutter(), dice.choice(PIECES)
            while whole or left > 0:
                part = await answer.content.read(-1 if whole else left)
                if not part:
                    break
                events += cutter.feed(part)
                left -= len(part)


@pytest.mark.parametrize("seed", range(3))
async def test_every_event_once(start_worker: StartWorker, store: StoreServer, seed: int) -> None:
    """Several readers on two machines, each with breaks of its own: the same bytes for all."""
    settings = {"store_url": store.url, "store_timeout_seconds": 5}
    one, other = await start_worker(**settings), await start_worker(**settings)
    model = f"demo;seed={seed};tokens=40;rate=60"
    made = await ask(one.url + CHAT, "POST", chat(model), Prefer="respond-async")
    path = f"/v1/streams/{made.stream}"
    urls = [one.url, other.url]
    found = await asyncio.gather(
        *(read_with_breaks(urls, path, random.Random(10 * seed + number)) for number in range(4))
    )
    everything = await ask(other.url + path)
    assert everything.body.endswith(b"data: [DONE]\n\n")
    assert found == [everything.body] * 4
    assert not everything.body.isascii()
