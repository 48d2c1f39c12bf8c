"""A defect of Sluice's own hurts one request, says so, and shows nothing of itself."""

from __future__ import annotations

import pytest
from structlog.processors import format_exc_info
from structlog.testing import capture_logs

from proxy.relay.event_stream import EventStream
from proxy.upstream.upstreams import Upstreams
from tests.integration.conftest import Demo, StartWorker
from tests.integration.raw import BrokenOff, ask_chat, exchange


def defective(*_: object, **__: object) -> bytes:
    """Somebody's mistake."""
    raise RuntimeError("what only the log should see")


async def test_before_the_commit_it_is_a_500(
    start_every: StartWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As JSON with a request id; the log has the traceback under the same id."""
    front = await start_every()
    monkeypatch.setattr(Upstreams, "request", defective)
    with capture_logs(processors=[format_exc_info]) as lines:
        answer = await exchange(front.url, ask_chat())
    assert answer.status == 500
    assert answer.json()["error"]["code"] == "internal_error"
    assert b"what only" not in answer.body
    [line] = [line for line in lines if line["event"] == "request_failed"]
    assert line["request_id"] == answer.headers["X-Request-ID"]
    assert "what only the log should see" in line["exception"]


def stumble(monkeypatch: pytest.MonkeyPatch, at: str) -> None:
    """Have the relay fail at a word of the answer."""
    feed = EventStream.feed

    def feeds(self: EventStream, chunk: bytes, now: float) -> bytes:
        if at.encode() in chunk:
            defective()
        return feed(self, chunk, now)

    monkeypatch.setattr(EventStream, "feed", feeds)


async def test_at_the_first_bytes_it_is_a_500(
    start_every: StartWorker, demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They leave with the head, so the head can still say so, and the upstream is let go."""
    front = await start_every()
    stumble(monkeypatch, "Grüezi")
    answer = await exchange(front.url, ask_chat("tokens=5;rate=50"))
    assert answer.status == 500
    assert answer.json()["error"]["code"] == "internal_error"
    await demo.state.until(lambda state: not state.open)


async def test_after_the_commit_the_stream_breaks_off(
    start_every: StartWorker, demo: Demo, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not look finished, has no second answer inside, and its slot is free."""
    front = await start_every()
    stumble(monkeypatch, "🌊")
    with pytest.raises(BrokenOff) as broken:
        await exchange(front.url, ask_chat("tokens=5;rate=50"))
    assert b"HTTP/1" not in broken.value.body
    assert b"what only" not in broken.value.body
    await demo.state.until(lambda state: not state.open)
