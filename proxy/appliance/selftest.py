"""`sluice selftest URL`: finds out whether a proxy in front of Sluice buffers events."""

from __future__ import annotations

import http.client
import json
import time
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

ROUTE = "/selftest/stream"
_TIMEOUT_SECONDS = 30.0
# The delay that a network may add to an event, and the share of events that may exceed it.
_TOLERATED_SECONDS = 0.1
_TOLERATED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """When an event was sent and received, in seconds after the first one."""

    sent: float
    arrived: float

    @property
    def held(self) -> float:
        """The delay in seconds, relative to the first event."""
        return self.arrived - self.sent


def run(url: str) -> int:
    """Request timed events, and print their times and the verdict.

    Return the exit status: 0 if nothing buffers, 1 if something does or there is no response.
    """
    try:
        events = list(_events(url.rstrip("/") + ROUTE))
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"No timed events from {url}: {error}")  # noqa: T201 the command's output
        return 1
    for event in events:
        print(f"sent after {event.sent:6.3f} s, received after {event.arrived:6.3f} s")  # noqa: T201
    complaint = verdict(events)
    print(complaint or "Nothing buffers the stream.")  # noqa: T201
    return 0 if complaint is None else 1


def verdict(events: list[TimedEvent]) -> str | None:
    """Return what is wrong with the arrivals, and what to do; None if nothing is.

    A buffer holds early events until it is full or the response ends, so that they arrive together:
    compared with the last one, the first is late.
    """
    if len(events) < 2:
        return "Too few events were received. Is this Sluice?"
    most_punctual = min(event.held for event in events)
    delays = [event.held - most_punctual for event in events]
    if sum(delay > _TOLERATED_SECONDS for delay in delays) <= len(events) * _TOLERATED_SHARE:
        return None
    return (
        f"A proxy buffers the stream: events were up to {max(delays):.3f} s late. In the proxy in "
        "front, switch off response buffering and compression for text/event-stream, and let it "
        "speak HTTP/1.1 to Sluice (nginx: proxy_buffering off, gzip off, proxy_http_version 1.1)."
    )


def _events(url: str) -> Iterator[TimedEvent]:
    if not url.startswith(("http://", "https://")):
        raise ValueError("the URL must begin with http:// or https://")
    request = urllib.request.Request(url, headers={"Accept": "text/event-stream"})  # noqa: S310 checked
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310 checked
        yield from _timed(answer, time.monotonic)


def _timed(lines: Iterable[bytes], clock: Callable[[], float]) -> Iterator[TimedEvent]:
    """Yield the events of a stream of lines, with their arrival times.

    Raises `ValueError` for lines that are not timed events.
    """
    first: tuple[float, float] | None = None
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        now, sent = clock(), float(json.loads(line[5:])["seconds"])
        first = first or (sent, now)
        yield TimedEvent(sent - first[0], now - first[1])
