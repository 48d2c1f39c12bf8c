from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.measure.processes import (
    Snapshot,
    cpu_nanoseconds,
    family,
    memory,
    read_sizes,
    snapshot,
    socket_memory,
)

CHILD = """
import subprocess
process = subprocess.Popen(["sleep", "60"])
print(process.pid, flush=True)
process.wait()
"""


@pytest.fixture
def parent() -> Iterator[tuple[int, int]]:
    """A process with a child: both ids."""
    with subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        child = int(process.stdout.readline())
        yield process.pid, child
        os.kill(child, 9)


def burn(milliseconds: int) -> None:
    """Spend so much CPU time in this thread."""
    end = time.thread_time_ns() + milliseconds * 1_000_000
    while time.thread_time_ns() < end:
        pass


def test_a_process_with_a_child(parent: tuple[int, int]) -> None:
    """Both belong to the family, and both are accounted for."""
    assert family(parent[0]) == list(parent)
    assert set(snapshot(parent[0]).cpu) == set(parent)
    assert memory(parent[0]).resident >= memory(parent[1]).resident > 0


def test_a_thread_that_has_ended() -> None:
    """Its time still counts."""
    before = cpu_nanoseconds(os.getpid())
    thread = threading.Thread(target=burn, args=(20,))
    thread.start()
    thread.join()
    assert cpu_nanoseconds(os.getpid()) - before >= 20_000_000


def test_the_clock_and_the_scheduler_s_file(parent: tuple[int, int]) -> None:
    """They are the same count, once the process does nothing any more."""
    deadline = time.monotonic() + 20
    while True:
        before = cpu_nanoseconds(parent[1])
        nanoseconds = int(Path(f"/proc/{parent[1]}/schedstat").read_text().split()[0])
        if before == cpu_nanoseconds(parent[1]):
            break
        assert time.monotonic() < deadline, "a process that sleeps uses processor time"
    assert nanoseconds == before > 0


def test_processes_that_came_and_went() -> None:
    """A new one counts from nothing, and one that is gone is left out."""
    earlier, later = Snapshot(0, {1: 100, 2: 50}), Snapshot(1, {1: 130, 3: 7})
    assert later.since(earlier) == 37


def test_nobody_of_that_number() -> None:
    """A process that is gone is told apart from one that did nothing."""
    with pytest.raises(ProcessLookupError):
        cpu_nanoseconds(2**22 + 1)


def test_sizes_as_the_kernel_prints_them() -> None:
    """Kibibytes become bytes, other lines are passed over."""
    text = "55d0-7fff ---p 00000000 00:00 0 [rollup]\nRss:     12 kB\nPss:      3 kB\nFlags: rd\n"
    assert read_sizes(text) == {"Rss": 12288, "Pss": 3072}


def test_the_kernel_s_own_share() -> None:
    """There is a figure for TCP buffers."""
    assert socket_memory() >= 0
