"""What every program that reads a stream must get right, whatever it is written in."""

from __future__ import annotations

import asyncio
import functools
import signal
import time

from tests.examples.conftest import Program
from tests.integration.faults.gateways import RunningGateway

SAME = "seed=7;tokens=40;ttft=0;rate=0"


@functools.cache
def whole_text(program: Program, url: str) -> str:
    """What it prints of an undisturbed answer."""
    ran = program.run(url, f"demo;{SAME}")
    assert (ran.status, ran.error) == (0, "")
    assert len(ran.text) > 100
    return ran.text


def gives_the_whole_text(program: Program, sluice: RunningGateway, fault: str) -> None:
    """The same text however the bytes are split, and a good end."""
    straight = whole_text(program, sluice.url)
    ran = program.run(sluice.url, f"demo;{SAME};{fault}")
    assert (ran.status, ran.error, ran.text) == (0, "", straight)


def never_shows_a_cut_as_whole(program: Program, sluice: RunningGateway, fault: str) -> None:
    """What came is shown, and then that it is not whole."""
    ran = program.run(sluice.url, f"demo;{SAME};{fault}")
    assert ran.status == 1
    assert "No whole answer: " in ran.error
    assert "Traceback" not in ran.error
    straight = whole_text(program, sluice.url)
    assert straight.startswith(ran.text)
    assert len(ran.text) < len(straight) or fault == "no-end"


def asks_again_when_it_may(program: Program, sluice: RunningGateway, run: str) -> None:
    """A 429 with `Retry-After` is waited for; then the answer comes."""
    model = f"demo;{SAME};run={run};status=429;fail=1;retry-after=1"
    before = time.monotonic()
    ran = program.run(sluice.url, model)
    assert (ran.status, ran.error) == (0, "")
    assert ran.text
    assert time.monotonic() - before >= 1
    calls = asyncio.run(sluice.upstream.calls(run))
    assert len(calls) == 2


def stops_the_answer_when_it_is_stopped(program: Program, sluice: RunningGateway, run: str) -> None:
    """Ctrl-C in the middle: the upstream stops, too."""
    process = program.start(sluice.url, f"demo;run={run};tokens=5000;rate=20;ttft=0")
    assert process.stdout is not None
    try:
        assert process.stdout.read(5)
        process.send_signal(signal.SIGINT)
        process.wait(20)
    finally:
        process.kill()
        process.communicate()
    calls = asyncio.run(sluice.upstream.over(run))
    assert [call["ended_by"] for call in calls] == ["left"]
