from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from proxy.appliance.child import ProcessSpec
from proxy.appliance.http_probe import ProbeResponse
from proxy.appliance.monitor import CannotStart, ProcessMonitor, ProcessState, RestartPolicy
from proxy.appliance.worker_socket import WorkerSocket

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

DEADLINE = 10.0
QUICK = RestartPolicy(
    start=5, poll=0.005, check=0.02, first_delay=0.01, longest_delay=0.02, attempts=3
)


def shell(script: str) -> ProcessSpec:
    """A child that runs a shell script."""
    return ProcessSpec("it", ["/bin/sh", "-c", script], err=lambda _lines: None)


async def yes() -> ProbeResponse | None:
    """The child answers."""
    return ProbeResponse(200, b"")


async def no() -> ProbeResponse | None:
    """The child does not answer."""
    return None


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


async def running(monitor: ProcessMonitor) -> asyncio.Task[None]:
    """Begin to keep, and wait until the child has come up."""
    task = asyncio.create_task(monitor.run())
    await asyncio.wait_for(monitor.ready.wait(), DEADLINE)
    return task


@pytest.mark.parametrize(
    ("deaths", "delay"), [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.4), (9, 10.0), (10_000, 10.0)]
)
def test_each_death_doubles_the_wait_up_to_a_limit(deaths: int, delay: float) -> None:
    """The first restart is at once; one that dies again and again is started ever more rarely."""
    assert RestartPolicy(first_delay=0.1, longest_delay=10.0).delay(deaths) == delay


async def test_it_is_ready_once_it_answers() -> None:
    """Running is not enough: the state is `starting` until the question has an answer."""
    response: ProbeResponse | None = None

    async def question() -> ProbeResponse | None:
        return response

    monitor = ProcessMonitor(shell("sleep 60"), question, restart_policy=QUICK)
    task = asyncio.create_task(monitor.run())
    await until(lambda: monitor.pid)
    assert monitor.state.value == "starting"
    response = ProbeResponse(503, b"")
    await asyncio.sleep(0)
    assert not monitor.ready.is_set()
    response = ProbeResponse(200, b"")
    await until(monitor.ready.is_set)
    assert monitor.state.value == "ready"
    monitor.stop(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


async def test_a_first_start_that_fails_ends_it_with_the_end_of_stderr() -> None:
    """Nobody waits for a program that cannot run: what it said is in the error."""
    monitor = ProcessMonitor(shell("echo no such model >&2; exit 3"), no, restart_policy=QUICK)
    with pytest.raises(CannotStart, match=r"(?s)exit status 3.*no such model"):
        await asyncio.wait_for(monitor.run(), DEADLINE)
    assert monitor.restarts == 0


async def test_a_program_that_does_not_exist_has_last_words_too() -> None:
    """The reason why it could not be run is said."""
    monitor = ProcessMonitor(
        ProcessSpec("it", ["/no/such/program"], err=lambda _: None), no, restart_policy=QUICK
    )
    with pytest.raises(CannotStart, match="No such file"):
        await asyncio.wait_for(monitor.run(), DEADLINE)


async def test_one_that_never_answers_is_given_up() -> None:
    """A start that hangs ends after its time, and the process with it."""
    policy = RestartPolicy(start=0.1, poll=0.01)
    monitor = ProcessMonitor(shell("sleep 60"), no, restart_policy=policy)
    with pytest.raises(CannotStart, match="exit status 137"):
        await asyncio.wait_for(monitor.run(), DEADLINE)
    assert monitor.pid is None


@pytest.mark.parametrize("spare", [True, False])
async def test_later_it_is_given_up_only_if_nobody_does_its_work(
    tmp_path: Path, spare: bool
) -> None:
    """A worker that no longer starts is tried for ever while others serve, else a few times."""
    mark = tmp_path / "once"
    script = f"test -e {mark} && exit 3; touch {mark}; sleep 60"

    async def question() -> ProbeResponse | None:
        return ProbeResponse(200, b"") if monitor.restarts == 0 else None

    monitor = ProcessMonitor(shell(script), question, has_spare=lambda: spare, restart_policy=QUICK)
    task = await running(monitor)
    await until(mark.exists)
    monitor.send(signal.SIGKILL)
    if not spare:
        with pytest.raises(CannotStart, match="exit status 3"):
            await asyncio.wait_for(task, DEADLINE)
        assert monitor.restarts == QUICK.attempts
        return
    await until(lambda: monitor.restarts > QUICK.attempts + 1)
    monitor.stop()
    await asyncio.wait_for(task, DEADLINE)


async def test_on_exit_runs_before_the_restart() -> None:
    """What the ended process left is cleared away before the next one starts."""
    cleared: list[int | None] = []

    async def clear() -> None:
        cleared.append(monitor.pid)

    monitor = ProcessMonitor(shell("sleep 60"), yes, on_exit=clear, restart_policy=QUICK)
    task = await running(monitor)
    monitor.send(signal.SIGKILL)
    await until(lambda: monitor.restarts == 1 and monitor.state is ProcessState.READY)
    assert cleared == [None]
    monitor.stop(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


async def test_silence_is_noticed_and_forgiven() -> None:
    """One that stops answering is `silent`, keeps its process, and is `ready` when it is back."""
    answering = True

    async def question() -> ProbeResponse | None:
        return ProbeResponse(200, b"") if answering else None

    monitor = ProcessMonitor(shell("sleep 60"), question, restart_policy=QUICK)
    task = await running(monitor)
    pid = monitor.pid
    answering = False
    await until(lambda: monitor.state is ProcessState.SILENT)
    answering = True
    await until(lambda: monitor.state is ProcessState.READY)
    assert monitor.pid == pid
    monitor.stop(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


@pytest.mark.parametrize("question", [yes, no])
async def test_told_to_leave_it_does_not_come_back(
    question: Callable[[], Awaitable[ProbeResponse | None]],
) -> None:
    """Whether ready or still starting, one that was told to leave ends without an error."""
    monitor = ProcessMonitor(shell("sleep 60"), question, restart_policy=QUICK)
    task = asyncio.create_task(monitor.run())
    await until(lambda: monitor.pid)
    monitor.stop(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)
    assert monitor.state is ProcessState.STOPPED
    assert monitor.restarts == 0


async def test_told_to_leave_while_waiting_it_ends_at_once() -> None:
    """The wait before a restart does not hold up the end."""
    policy = RestartPolicy(poll=0.005, check=0.02, first_delay=3600, longest_delay=3600)
    monitor = ProcessMonitor(shell("sleep 60"), yes, restart_policy=policy)
    task = await running(monitor)
    monitor.send(signal.SIGKILL)
    await until(lambda: monitor.restarts == 1 and monitor.state is ProcessState.READY)
    monitor.send(signal.SIGKILL)
    await until(lambda: monitor.state is ProcessState.WAITING)
    monitor.stop(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


async def test_a_cancelled_keeper_leaves_no_process() -> None:
    """If the keeping itself is cancelled, its child is gone."""
    monitor = ProcessMonitor(shell("sleep 60"), yes, restart_policy=QUICK)
    task = await running(monitor)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: monitor.pid is None)


def beating(path: Path) -> ProcessSpec:
    """A child with a heartbeat, which SIGUSR1 ends."""
    script = (
        "import os, signal, sys, time\n"
        "fd = int(sys.argv[sys.argv.index('--heartbeat-fd') + 1])\n"
        "signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))\n"
        "while True: os.write(fd, b'.'); time.sleep(0.02)"
    )
    return ProcessSpec(
        "it",
        [sys.executable, "-c", script],
        err=lambda _lines: None,
        listening=WorkerSocket(path, mode=0o600),
    )


async def pulsing(path: Path, **policy: Any) -> tuple[ProcessMonitor, asyncio.Task[None]]:
    """A monitor of such a child, once it has been felt."""

    async def question() -> ProbeResponse | None:
        felt = monitor._child is not None and monitor._child.heartbeat is not None
        return ProbeResponse(200, b"") if felt and monitor._child.heartbeat.beats else None  # type: ignore[union-attr]

    monitor = ProcessMonitor(
        beating(path), question, restart_policy=replace(QUICK, beat=0.1, **policy)
    )
    return monitor, await running(monitor)


async def over(monitor: ProcessMonitor, task: asyncio.Task[None]) -> None:
    """Keep it no longer, and leave nothing open."""
    monitor.stop(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)
    assert monitor._spec.listening is not None
    monitor._spec.listening.close()


async def test_one_that_is_stopped_by_a_signal_is_killed_and_replaced(tmp_path: Path) -> None:
    """It cannot be merely busy, so it is not waited for as long as a blocked one."""
    monitor, task = await pulsing(tmp_path / "s", silent_after=4, frozen_after=10_000)
    before = monitor.pid
    monitor.send(signal.SIGSTOP)
    await until(lambda: monitor.restarts == 1 and monitor.state is ProcessState.READY)
    assert monitor.pid != before
    await over(monitor, task)


async def test_one_whose_loop_stands_still_is_killed_later(tmp_path: Path) -> None:
    """First nothing new goes there, then it is replaced."""
    monitor, task = await pulsing(tmp_path / "s", silent_after=4, frozen_after=8)
    monitor.send(signal.SIGUSR1)
    await until(lambda: monitor.state is ProcessState.SILENT)
    assert monitor.restarts == 0
    await until(lambda: monitor.restarts == 1 and monitor.state is ProcessState.READY)
    await over(monitor, task)


async def test_one_that_was_only_busy_is_ready_again(tmp_path: Path) -> None:
    """A heartbeat that comes back before its time is up costs nobody a stream."""
    monitor, task = await pulsing(tmp_path / "s", silent_after=4, frozen_after=10_000)
    pid, stopped = monitor.pid, monitor._child
    assert stopped is not None
    stopped.stopped = lambda: False  # type: ignore[method-assign]
    monitor.send(signal.SIGSTOP)
    await until(lambda: monitor.state is ProcessState.SILENT)
    monitor.send(signal.SIGCONT)
    await until(lambda: monitor.state is ProcessState.READY)
    assert (monitor.pid, monitor.restarts) == (pid, 0)
    await over(monitor, task)
