"""Hundreds of clients race for the last of a limit: one worker, several, two appliances."""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.fixtures.stores import StoreServer, store_server
from tests.integration.faults import gateways
from tests.integration.race_clients import Race, settled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.integration.faults.gateways import RunningGateway

CLIENTS = 500
FEW_CLIENTS = 60
TOKENS_PER_MINUTE = 600
BUDGET = 1.0
USD_PER_TOKEN = 0.001
"""Of input and output alike."""
ENOUGH = 100_000
KEYS: Any = [
    {"name": "requests", "requests_per_minute": 1, "max_streams": ENOUGH},
    {"name": "streams", "max_streams": 3},
    {"name": "tokens", "tokens_per_minute": TOKENS_PER_MINUTE, "max_streams": ENOUGH},
    {"name": "budget", "budget_usd": BUDGET, "max_streams": ENOUGH},
]
HOLDS = "tokens=100000;rate=20"
"""A stream that runs until its client leaves."""
OVERRUNS = {"tokens": "tokens=512;rate=100", "budget": "tokens=513;rate=100"}
"""Twice as many tokens as are expected of a model that nobody knows, which is 256.

One model for each race, since the workers learn from the first.
"""


@dataclass(frozen=True)
class Course:
    """Where a race is run."""

    name: str
    gateways: Sequence[RunningGateway]
    store: StoreServer
    clients: int


COURSES = {
    "one worker": ((1,), CLIENTS),
    "four workers": ((4,), CLIENTS),
    "two appliances": ((2, 2), CLIENTS),
    "two appliances, few clients": ((1, 1), FEW_CLIENTS),
}
EVERY_TIME = "two appliances, few clients"


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(case, marks=() if case == EVERY_TIME else pytest.mark.races)
        for case in COURSES
    ],
)
def course(
    request: pytest.FixtureRequest,
    upstream: gateways.Upstream,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Course]:
    """Appliances in processes of their own, with one store between them."""
    workers, clients = COURSES[request.param]
    prices: Path = tmp_path_factory.mktemp("prices") / "prices.toml"
    price = USD_PER_TOKEN * 1_000_000
    prices.write_text(f'"demo*" = {{ input = {price}, output = {price} }}\n')
    with ExitStack() as stack:
        store = stack.enter_context(store_server())
        running = [
            stack.enter_context(
                gateways.appliance(
                    upstream,
                    workers=count,
                    keys=[{**key, "key": f"sk-{key['name']}"} for key in KEYS],
                    store_url=store.url,
                    # Beside busy processes the store may answer late; it is asked all the same.
                    store_timeout_seconds=5,
                    prices=str(prices),
                    queue_timeout_seconds=1,
                    log_format="json",
                )
            )
            for count in workers
        ]
        yield Course(request.param, running, store, clients)


async def raced(course: Course, name: str, words: str, *, to_the_end: bool = False) -> Race:
    """A race for one limit, from an untouched account; each worker has checked every request."""
    course.store.command("FLUSHALL")
    before = [len(gateway.process.lines) for gateway in course.gateways]
    race = Race(course.gateways, f"sk-{name}", words)
    await race.run(course.clients, to_the_end=to_the_end)
    figures = f"| {name} | {race.winners} | {race.seconds:.1f} s | {race.tokens} tokens |"
    print(f"| {course.name} {figures}")  # noqa: T201 the table of docs/keys.md
    for gateway, first in zip(course.gateways, before, strict=True):
        lines = gateway.process.lines[first:]
        unchecked = [line for line in lines if re.search("not checked", line)]
        assert not unchecked, unchecked[:3]
    return race


@pytest.mark.timeout(240, method="thread")
async def test_the_last_request(course: Course) -> None:
    """One gets in."""
    race = await raced(course, "requests", HOLDS)
    assert race.seconds < 60, "the minute is over, and so is what this shows"
    assert race.statuses == {200: 1, 429: course.clients - 1}
    assert race.errors == {"rate_limit_exceeded": course.clients - 1}
    usage = await settled(course.gateways[0], "requests")
    assert usage["requests_per_minute"] == {"limit": 1, "used": 1, "left": 0}


@pytest.mark.timeout(240, method="thread")
async def test_the_last_streams(course: Course) -> None:
    """Three run at once; who has waited a second is refused, and none is left over."""
    race = await raced(course, "streams", HOLDS)
    assert race.statuses == {200: 3, 429: course.clients - 3}
    assert (await settled(course.gateways[0], "streams"))["max_streams"]["left"] == 3


@pytest.mark.timeout(240, method="thread")
async def test_the_last_tokens(course: Course) -> None:
    """So many get in as reserve no more than there is; what they use beyond that is owed."""
    race = await raced(course, "tokens", OVERRUNS["tokens"], to_the_end=True)
    reserved = 256
    refilled = TOKENS_PER_MINUTE * race.seconds / 60
    assert 1 <= race.winners <= (TOKENS_PER_MINUTE + refilled) // reserved
    assert race.statuses[429] == course.clients - race.winners
    beyond = race.tokens - race.winners * reserved
    assert race.tokens <= TOKENS_PER_MINUTE + refilled + beyond
    usage = await settled(course.gateways[0], "tokens")
    # Each has used more than it had reserved: nothing is there again so soon.
    assert usage["tokens_per_minute"]["left"] == 0


@pytest.mark.timeout(240, method="thread")
async def test_the_last_of_a_budget(course: Course) -> None:
    """So many get in as reserve no more than there is; all that they use is charged."""
    race = await raced(course, "budget", OVERRUNS["budget"], to_the_end=True)
    assert race.statuses == {200: 3, 429: course.clients - 3}
    # There may be some again: those that run hold what is left.
    assert race.errors == {"rate_limit_exceeded": course.clients - 3}
    spent = (await settled(course.gateways[0], "budget"))["budget_usd"]
    assert spent["used"] == pytest.approx(race.tokens * USD_PER_TOKEN)
    assert spent["left"] == 0
