from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from proxy.appliance.child import Child, ProcessSpec
from tests.appliance.running import alive

DEADLINE = 10.0


async def start(script: str, **more: Any) -> tuple[Child, bytearray]:
    """A child that runs a shell script, and where its words go."""
    output = bytearray()
    spec = ProcessSpec(
        "it", ["/bin/sh", "-c", script], out=output.extend, err=output.extend, **more
    )
    return await Child.start(spec), output


def open_files() -> int:
    """How many descriptors this process has."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def end_of(child: Child) -> int:
    """Its exit status."""
    return await asyncio.wait_for(child.wait(), DEADLINE)


@pytest.mark.parametrize(
    ("script", "status"), [("exit 0", 0), ("exit 3", 3), ("kill -9 $$", 137), ("kill -15 $$", 143)]
)
async def test_its_end_is_told_as_a_shell_would(script: str, status: int) -> None:
    """An exit status as it is, and 128 more than the number of a signal."""
    child, _ = await start(script)
    assert await end_of(child) == status
    assert not child.running


async def test_its_words_go_on_and_the_last_are_kept() -> None:
    """All lines reach the log; only those of stderr are kept as its end."""
    child, output = await start("echo to the log; echo goodbye >&2")
    await end_of(child)
    assert await child.stderr_tail() == "goodbye"
    assert b"goodbye\n" in output
    assert b"to the log\n" in output


async def test_all_its_lines_have_come_when_it_is_asked_for_the_last() -> None:
    """However slowly its log is read: what it said last says why it died, on stdout as well."""
    output = bytearray()

    def read_slowly(lines: bytes) -> None:
        time.sleep(0.3)
        output.extend(lines)

    spec = ProcessSpec("it", ["/bin/sh", "-c", "echo why"], out=read_slowly)
    child = await Child.start(spec)
    await end_of(child)
    assert await child.stderr_tail() == ""
    assert output == b"why\n"


async def test_what_it_leaves_behind_ends_with_it() -> None:
    """Processes that it started itself do not outlive it."""
    child, output = await start("sleep 60 & echo $!; wait")
    while not output:
        await asyncio.sleep(0.005)
    left = int(output)
    assert alive(left)
    child.send(signal.SIGKILL)
    await end_of(child)
    async with asyncio.timeout(DEADLINE):
        while alive(left):
            await asyncio.sleep(0.005)


async def test_it_is_out_of_reach_of_the_terminal() -> None:
    """It leads a session of its own, so Ctrl-C is for the supervisor alone."""
    child, _ = await start("sleep 60")
    assert os.getsid(child.pid) == child.pid != os.getsid(0)
    child.kill()
    await end_of(child)


async def test_it_gets_its_own_environment_and_umask() -> None:
    """Only what the spec says is in its environment; its files get the spec's rights."""
    child, output = await start("umask; echo $SECRET$GIVEN", environment={"GIVEN": "yes"}, umask=0)
    await end_of(child)
    await child.stderr_tail()
    assert output == b"0000\nyes\n"


async def test_a_signal_to_one_that_has_ended_does_nothing() -> None:
    """Whoever was slower than the child's end need not care."""
    child, _ = await start("exit 0")
    await end_of(child)
    child.send(signal.SIGTERM)
    child.kill()


async def test_no_descriptor_is_left_open() -> None:
    """A child that came and went leaves no pipe behind."""
    before = open_files()
    for _ in range(3):
        child, _ = await start("exit 0")
        await end_of(child)
        await child.stderr_tail()
    async with asyncio.timeout(DEADLINE):
        while open_files() > before:
            await asyncio.sleep(0.005)
