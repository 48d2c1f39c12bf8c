from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING

import pytest
from aiohttp import web

from proxy.appliance import selftest
from proxy.appliance.selftest import TimedEvent, verdict

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from aiohttp.test_utils import TestServer

SENT = [0.0, 0.2, 0.4, 0.6]


@pytest.mark.parametrize(
    ("arrived", "content"),
    [
        ([0.0, 0.2, 0.4, 0.6], True),
        ([0.0, 0.22, 0.45, 0.61], True),
        ([0.0, 0.0, 0.0, 0.0], False),
        ([0.0, 0.0, 0.2, 0.2], False),
        ([0.0, 0.5, 0.5, 0.6], True),
    ],
    ids=["at once", "a slow network", "all at the end", "in pairs", "one hiccup"],
)
def test_late_events_are_seen(arrived: list[float], content: bool) -> None:
    """Events that come together, wholly or in groups, were held back by somebody."""
    events = [TimedEvent(sent, came) for sent, came in zip(SENT, arrived, strict=True)]
    advice = verdict(events)
    assert (advice is None) is content
    assert content or "proxy_buffering off" in str(advice)


def test_no_events_are_no_good_news() -> None:
    """Whatever answered is not Sluice."""
    assert verdict([]) is not None


class SendersClock:
    """The reader's clock, which shows when the last event left, however late the machine is."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.looks = 0

    def monotonic(self) -> float:
        """Seconds; the reader looks once for each event."""
        self.looks += 1
        return self.seconds


@pytest.mark.parametrize(("holds", "status"), [(False, 0), (True, 1)])
async def test_a_server_is_judged_by_what_comes(
    aiohttp_server: Callable[[web.Application], Awaitable[TestServer]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    holds: bool,
    status: int,
) -> None:
    """The command's exit status tells whether events came as they left, or all at the end."""
    clock = SendersClock()
    monkeypatch.setattr(selftest, "time", clock)

    async def events(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        held = b""
        for number in range(10):
            clock.seconds = number * 0.1
            held += b'data: {"seconds": %f}\n\n' % clock.seconds
            if not holds or number == 9:
                await response.write(held)
                held = b""
                while clock.looks <= number:
                    await asyncio.sleep(0.001)
        return response

    app = web.Application()
    app.router.add_get("/selftest/stream", events)
    server = await aiohttp_server(app)
    url = str(server.make_url("/"))
    assert await asyncio.to_thread(selftest.run, url) == status
    assert "sent after" in capsys.readouterr().out


def test_arrivals_are_counted_from_the_first() -> None:
    """Only differences matter: the clocks of both sides need not agree."""
    text = b': hi\n\ndata: {"seconds": 0.1}\n\ndata: {"seconds": 0.3}\n\n'
    clock = iter([100.0, 100.25])
    events = list(selftest._timed(io.BytesIO(text), lambda: next(clock)))
    assert [event.sent for event in events] == pytest.approx([0.0, 0.2])
    assert [event.arrived for event in events] == pytest.approx([0.0, 0.25])


def test_a_wrong_url_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Nobody there, or no URL at all, is said without a traceback."""
    assert selftest.run("http://127.0.0.1:9") == 1
    assert selftest.run("ftp://example.com") == 1
    assert "http://" in capsys.readouterr().out
