"""Readers of resumable streams: each way of coming back, once per round."""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Protocol

from tests.monitoring.asks import LONG, MODELS, PACE, Ask, chat

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterator
    from contextlib import AbstractAsyncContextManager

    import aiohttp

_RESUMABLE = {"Sluice-Resumable": "true"}
_EVENT_SOURCE = f"/v1/stream?model={MODELS[0]}&q=Why&once="


class Asking(Protocol):
    """Who asks for a reader."""

    def asked(self, ask: Ask, key: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        """The answer; what is left of it is read on the way out."""


def rounds(load: Asking, key: str) -> Iterator[Coroutine[None, None, None]]:
    """Each begins a stream, leaves it, and comes back."""
    yield _by_stream_id(load, key)
    yield _by_response_id(load, key)
    yield _by_event_source(load, key)
    yield _by_location(load, key)


async def _by_stream_id(load: Asking, key: str) -> None:
    ask = chat(MODELS[0], LONG, 3, **_RESUMABLE)
    async with load.asked(ask, key) as answer:
        stream = answer.headers.get("Sluice-Stream-Id")
    if stream:
        await _read(load, key, f"/v1/streams/{stream}?after=1")


async def _by_response_id(load: Asking, key: str) -> None:
    body = {"model": MODELS[0], "input": "Why?", "stream": True}
    ask = Ask("/v1/responses", body, PACE, 2, _RESUMABLE)
    async with load.asked(ask, key) as answer:
        kept = "Sluice-Stream-Id" in answer.headers
        match = re.search(rb'"id":"(resp_\w+)"', await answer.content.readany())
    if kept and match:
        name = match[1].decode()
        await _read(load, key, f"/v1/responses/{name}?stream=true&starting_after=0")


async def _by_event_source(load: Asking, key: str) -> None:
    url = _EVENT_SOURCE + uuid.uuid4().hex
    async with load.asked(Ask(url, None, PACE, 2), key) as answer:
        match = re.search(rb"^id: (\S+)$", await answer.content.readany(), re.MULTILINE)
    if match:
        await _read(load, key, url, **{"Last-Event-ID": match[1].decode()})


async def _by_location(load: Asking, key: str) -> None:
    ask = chat(MODELS[0], PACE, Prefer="respond-async")
    async with load.asked(ask, key) as answer:
        location = answer.headers.get("Location")
    if location:
        await _read(load, key, location)


async def _read(load: Asking, key: str, path: str, **headers: str) -> None:
    async with load.asked(Ask(path, None, headers=headers), key):
        return  # It is read to its end on the way out.
