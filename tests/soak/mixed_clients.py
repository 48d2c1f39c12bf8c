"""Clients of every kind: `python -m tests.soak.mixed_clients URL SECONDS NUMBER SEED`.

A program of its own, so that what it needs is not taken for the gateway's. Prints how often each
kind came and what became of it, and fails where a client saw what it must not see.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import uvloop

from tests.integration.faults.asking import ASKINGS, Asking
from tests.integration.faults.events import events_of
from tests.integration.raw import BrokenOff, Line

WHOLE = frozenset({"whole"})
CUT = frozenset({"told", "broken"})
REFUSED = frozenset({"refused"})
PACE = "rate=100"


@dataclass(frozen=True)
class Kind:
    """What a client asks for, and what may become of it."""

    words: str
    allowed: frozenset[str]
    share: int = 1


KINDS = (
    Kind("tokens=60", WHOLE, 20),
    *(
        Kind(f"tokens=20;{form}", WHOLE)
        for form in ("crlf", "cr", "multiline", "bom", "comments", "split-utf8", "batch", "close")
    ),
    Kind("rate=0;line=1MiB;tokens=5", WHOLE),
    *(
        Kind(f"seed=same;{cut}", CUT, 2)
        for cut in ("cut=5", "cut-inside=5", "cut-utf8=1", "cut-chunk=5", "cut-reset=5", "hang=5")
    ),
    *(Kind(refusal, REFUSED) for refusal in ("status=429", "status=500", "reset", "empty")),
    Kind("hang-before", REFUSED),
)
"""Those who stay. Besides them some leave in the middle and some stop reading."""


async def stays(url: str, asking: Asking, kind: Kind) -> str:
    """Hear the answer out; what became of it."""
    async with await Line.open(url) as line:
        head = await line.ask(asking.request(f"{PACE};{kind.words}"))
        if head.status >= 400:
            text = await line.body()
            return "refused" if kind.allowed == REFUSED else f"{head.status} {text!r}"
        try:
            body = await line.body()
        except BrokenOff as broken:
            return "looks whole" if asking.end_mark in broken.body else "broken"
    if asking.end_mark in body:
        return "whole"
    *before, last = events_of(body)
    asking.check_terminal_error(last, before)
    return "told"


async def leaves(url: str, asking: Asking, dice: random.Random) -> str:
    """Go in the middle of an answer, one way or the other."""
    line = await Line.open(url)
    await line.ask(asking.request(f"{PACE};tokens=500"))
    for _ in range(dice.randrange(20)):
        await line.part()
    if dice.random() < 0.5:
        line.reset()
    else:
        line.leave()
    return "left"


async def stalls(url: str, asking: Asking) -> str:
    """Read nothing of a fast answer for a while."""
    line = await Line.open(url, receive_buffer=4096)
    await line.ask(asking.request("rate=0;tokens=100000"))
    line.stop_reading()
    await asyncio.sleep(2)
    line.reset()
    return "stalled"


async def comes(url: str, dice: random.Random, seen: Counter[str]) -> None:
    """One client: which it is, what it saw, and whether that was allowed."""
    asking = dice.choice(ASKINGS)
    ways: list[tuple[str, frozenset[str], Callable[[], Awaitable[str]]]] = [
        ("leaves", frozenset({"left"}), lambda: leaves(url, asking, dice)),
        ("stalls", frozenset({"stalled"}), lambda: stalls(url, asking)),
    ]
    kind = dice.choices(KINDS, [kind.share for kind in KINDS])[0]
    way = dice.random()
    if way < 0.15:
        name, allowed, act = ways[0]
    elif way < 0.18:
        name, allowed, act = ways[1]
    else:
        name, allowed, act = kind.words, kind.allowed, lambda: stays(url, asking, kind)
    try:
        verdict = await act()
    except (BrokenOff, ConnectionError, TimeoutError) as error:
        verdict = type(error).__name__
    assert verdict in allowed, f"{asking.family} asked for {name} and saw: {verdict}"
    seen[verdict] += 1


async def client(url: str, until: float, seed: int, seen: Counter[str]) -> None:
    """Send requests until the time is over."""
    dice = random.Random(seed)
    while time.monotonic() < until:
        await comes(url, dice, seen)
        await asyncio.sleep(dice.random() / 4)


async def main(url: str, seconds: float, number: int, seed: int) -> None:
    """Run all clients for so long; print what they saw as JSON."""
    seen: Counter[str] = Counter()
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as clients:
        for index in range(number):
            clients.create_task(client(url, until, seed + index, seen))
    print(json.dumps(seen))  # noqa: T201 its output


if __name__ == "__main__":
    url, seconds, number, seed = sys.argv[1:]
    uvloop.run(main(url, float(seconds), int(number), int(seed)))
