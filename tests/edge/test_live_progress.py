"""Frames in the answer that a client reads live: only where they break nothing."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from proxy.edge.live_progress import LiveProgress
from proxy.relay.client_writer import ClientWriter
from proxy.relay.opaque_body import OpaqueBody
from tests.relay.peers import FakeTransport


class Between(OpaqueBody):
    """A body that can stand between two events."""

    between_events = True


class Asking:
    """A request with a client, or without one yet."""

    def __init__(self, transport: FakeTransport | None) -> None:
        self.client: ClientWriter | None = None
        if transport is not None:
            now = time.monotonic()
            self.client = ClientWriter(transport, transport, chunked=False, now=now)


class Figures:
    """Says one thing."""

    stage = "generating"

    def progress(self) -> dict[str, Any]:
        return {"stage": self.stage, "tokens": 3}


@pytest.fixture(autouse=True)
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("proxy.edge.live_progress._CHECK_SECONDS", 0.0)


async def looks() -> None:
    """Let the timer fire some times."""
    for _ in range(6):
        await asyncio.sleep(0)


async def test_a_frame_for_each_stage_and_no_more() -> None:
    """Many looks in one stage make one frame; the next is due by time or by another stage."""
    transport, figures = FakeTransport(), Figures()
    progress = LiveProgress(Asking(transport), figures)
    await looks()
    assert len(transport.written) == 1
    figures.stage = "queued"
    await looks()
    progress.stop()
    assert len(transport.written) == 2


@pytest.mark.parametrize(
    ("body_filter", "frames"), [(OpaqueBody(keep=False), 0), (Between(keep=False), 1)]
)
async def test_never_inside_an_event(body_filter: OpaqueBody, frames: int) -> None:
    """What has begun is let finish first."""
    transport = FakeTransport()
    progress = LiveProgress(Asking(transport), Figures())
    progress.body_filter = body_filter
    await looks()
    progress.stop()
    assert len(transport.written) == frames


async def test_the_end_is_said_once_and_is_the_last() -> None:
    """Nothing may stand behind it."""
    transport = FakeTransport()
    progress = LiveProgress(Asking(transport), Figures())
    progress.end()
    progress.end()
    await looks()
    [frame] = transport.written
    assert b'"stage": "ended"' in frame


async def test_nobody_to_tell() -> None:
    """Before the status has left, or with a client that left, nothing is written."""
    left = FakeTransport()
    context = Asking(left)
    assert context.client is not None
    context.client.left = True
    for asking in (Asking(None), context):
        progress = LiveProgress(asking, Figures())
        await looks()
        progress.stop()
    assert left.written == []


async def test_a_client_that_lags_is_not_sent_more() -> None:
    """Its answer comes first."""
    stuck = FakeTransport(stuck=True)
    context = Asking(stuck)
    assert context.client is not None
    context.client.write(b"x" * 10_000_000, time.monotonic())
    progress = LiveProgress(context, Figures())
    await looks()
    progress.stop()
    assert b"progress" not in b"".join(stuck.written)
