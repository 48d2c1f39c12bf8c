"""What the tests of this room say again and again."""

from __future__ import annotations

import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from multidict import CIMultiDict

from proxy import errors
from proxy.record import Family, RequestRecord
from proxy.settings import Settings
from proxy.upstream.call import Call
from proxy.upstream.targets import Target
from proxy.upstream.upstream_url import BaseUrl
from proxy.upstream.upstreams import Upstreams
from proxy.upstream_settings import UpstreamSettings
from tests.upstream.peer import EVENTS, LAST_CHUNK, Peer, chunk, plain

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from proxy.upstream.response import StreamingResponse, UpstreamResponse
    from proxy.upstream.transport import Transport

HEAD = b"HTTP/1.1 200 OK\r\n"
GOOD = EVENTS + chunk(b"data: 1\n\n") + LAST_CHUNK
OVERLOADED = EVENTS + chunk(b"event: error\ndata: overloaded\n\n") + LAST_CHUNK
BUSY = plain(b"busy", "503 Service Unavailable", {"Retry-After": "0"})


def ignore() -> None:
    """Be called when a request has left."""


def target(url: str, connect_timeout: float = 2.0) -> Target:
    """Name the upstream at a URL `a`."""
    return Target("a", BaseUrl.of(url), connect_timeout=connect_timeout)


_CHAT = "/v1/chat/completions"


def call(
    model: str = "m", body: bytes = b'{"model":"m"}', method: str = "POST", path: str = _CHAT
) -> Call:
    """Ask for a streamed chat completion."""
    return Call(new_record(model, method), path, CIMultiDict(), body)


def new_record(model: str = "m", method: str = "POST") -> RequestRecord:
    """Let a request have just come in."""
    return RequestRecord("r1", method, _CHAT, Family.CHAT, time.monotonic(), model=model)


async def send(transport: Transport, peer: Peer, asked: Call | None = None) -> StreamingResponse:
    """Send a call to a peer."""
    return await transport.send(asked or call(), target(peer.url), ignore)


async def whole(response: UpstreamResponse) -> bytes:
    """Read an answer to its end and close it."""
    parts = [response.first]
    with response:
        while part := await response.read():
            parts.append(part)
    return b"".join(parts)


def enough(first: bytes) -> bool:
    """Whether there is a whole event that is no comment."""
    return any(not event.startswith(b":") for event in first.split(b"\n\n")[:-1])


def overload_in(first: bytes) -> errors.SluiceError | None:
    """An error if an event reports an overload."""
    return errors.UpstreamOverloaded("It says so.") if b"overloaded" in first else None


async def ask(
    upstreams: Upstreams, asked: Call | None = None, record: RequestRecord | None = None
) -> UpstreamResponse:
    """Send a call with the two functions above; `record` replaces the record of the call."""
    sent = asked or call()
    if record is not None:
        record.model = sent.record.model
        sent = replace(sent, record=record)
    return await upstreams.request(sent, is_decidable=enough, find_error=overload_in)


def upstream(name: str, peer: Peer, **more: object) -> UpstreamSettings:
    """Describe one upstream of several."""
    return UpstreamSettings.model_validate({"name": name, "url": peer.url, **more})


@asynccontextmanager
async def opened(
    *upstreams: UpstreamSettings | Peer, **settings: object
) -> AsyncIterator[Upstreams]:
    """Open upstreams that must have let go of everything in the end."""
    if len(upstreams) == 1 and isinstance(upstreams[0], Peer):
        settings["upstream_url"] = upstreams[0].url
    else:
        settings["upstreams"] = upstreams
    made = Settings.model_validate({"connect_timeout_seconds": 2, **settings})
    async with Upstreams(made) as held:
        yield held
        assert held.connections()[0] == 0, "a connection is still in use"
        assert [state["streams"] for state in held.status()] == [0] * len(upstreams)


class Counts:
    """An observer that writes down what it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, ...]] = []

    def retried(self, upstream: str, reason: str) -> None:
        """Write it down."""
        self.heard.append(("retried", upstream, reason))

    def ejected(self, upstream: str) -> None:
        """Write it down."""
        self.heard.append(("ejected", upstream))

    def returned(self, upstream: str) -> None:
        """Write it down."""
        self.heard.append(("returned", upstream))
