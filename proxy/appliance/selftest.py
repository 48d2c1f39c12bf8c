"""`sluice selftest URL`: finds out whether something in front of Sluice holds events back."""

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
# What a network may add to an event, and how many may be later still: hiccups are no buffer.
_TOLERATED_SECONDS = 0.1
_TOLERATED_SHARE = 0.25


@dataclass(frozen=True, slots=True)
class TimedEvent:
    """One event: when it left and when it came, in seconds after the first did."""

    sent: float
    arrived: float

    @property
    def held(self) -> float:
        """Seconds that it was held back, compared with the first."""
        return self.arrived - self.sent


def run(url: str) -> int:
    """Ask for timed events, print what came when, and the verdict.

    Returns the exit status: 0 if nothing buffers, 1 if something does or there is no answer.
    """
    try:
        events = list(_events(url.rstrip("/") + ROUTE))
    except (OSError, ValueError, http.client.HTTPException) as error:
        print(f"No timed events from {url}: {error}")  # noqa: T201 the command's output
        return 1
    for event in events:
        print(f"left after {event.sent:6.3f} s, came after {event.arrived:6.3f} s")  # noqa: T201
    complaint = verdict(events)
    print(complaint or "Nothing on the way buffers.")  # noqa: T201
    return 0 if complaint is None else 1


def verdict(events: list[TimedEvent]) -> str | None:
    """What is wrong with the arrivals, and what to do; None if nothing is.

    A buffer holds the early events until it is full or the answer ends, so that they come
    together: measured against the last one, the first came late.
    """
    if len(events) < 2:
        return "There were too few events to tell. Is this Sluice?"
    most_punctual = min(event.held for event in events)
    late = [event.held - most_punctual for event in events]
    if sum(one > _TOLERATED_SECONDS for one in late) <= len(events) * _TOLERATED_SHARE:
        return None
    return (
        f"Something on the way buffers: events came up to {max(late):.3f} s late. In the proxy in "
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
    """The events of a stream of lines, each with the moment when it came.

    Raises `ValueError` for lines that are no timed events.
    """
    first: tuple[float, float] | None = None
    for line in lines:
        if not line.startswith(b"data:"):
            continue
        now, sent = clock(), float(json.loads(line[5:])["seconds"])
        first = first or (sent, now)
        yield TimedEvent(sent - first[0], now - first[1])
