from __future__ import annotations

import asyncio
import signal
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from proxy.appliance.ask import Answer
from proxy.appliance.child import Recipe
from proxy.appliance.keeper import CannotStart, Keeper, Patience, State
from proxy.appliance.listening import Listening

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

DEADLINE = 10.0
QUICK = Patience(start=5, look=0.005, watch=0.02, first_delay=0.01, longest_delay=0.02, attempts=3)


def shell(script: str) -> Recipe:
    """A child that runs a shell script."""
    return Recipe("it", ["/bin/sh", "-c", script], err=lambda _lines: None)


async def yes() -> Answer | None:
    """The child answers."""
    return Answer(200, b"")


async def no() -> Answer | None:
    """The child does not answer."""
    return None


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await asyncio.sleep(0.005)


async def running(keeper: Keeper) -> asyncio.Task[None]:
    """Begin to keep, and wait until the child has come up."""
    task = asyncio.create_task(keeper.keep())
    await asyncio.wait_for(keeper.ready.wait(), DEADLINE)
    return task


@pytest.mark.parametrize(
    ("deaths", "delay"), [(1, 0.0), (2, 0.1), (3, 0.2), (4, 0.4), (9, 10.0), (10_000, 10.0)]
)
def test_each_death_doubles_the_wait_up_to_a_limit(deaths: int, delay: float) -> None:
    """The first restart is at once; one that dies again and again is started ever more rarely."""
    assert Patience(first_delay=0.1, longest_delay=10.0).delay(deaths) == delay


async def test_it_is_ready_once_it_answers() -> None:
    """Running is not enough: the state is `starting` until the question has an answer."""
    answer: Answer | None = None

    async def question() -> Answer | None:
        return answer

    keeper = Keeper(shell("sleep 60"), question, patience=QUICK)
    task = asyncio.create_task(keeper.keep())
    await until(lambda: keeper.pid)
    assert keeper.state.value == "starting"
    answer = Answer(503, b"")
    await asyncio.sleep(0)
    assert not keeper.ready.is_set()
    answer = Answer(200, b"")
    await until(keeper.ready.is_set)
    assert keeper.state.value == "ready"
    keeper.leave(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


async def test_a_first_start_that_fails_ends_it_with_the_last_words() -> None:
    """Nobody waits for a program that cannot run: what it said is in the error."""
    keeper = Keeper(shell("echo no such model >&2; exit 3"), no, patience=QUICK)
    with pytest.raises(CannotStart, match=r"(?s)exit status 3.*no such model"):
        await asyncio.wait_for(keeper.keep(), DEADLINE)
    assert keeper.restarts == 0


async def test_a_program_that_does_not_exist_has_last_words_too() -> None:
    """The reason why it could not be run is said."""
    keeper = Keeper(Recipe("it", ["/no/such/program"], err=lambda _: None), no, patience=QUICK)
    with pytest.raises(CannotStart, match="No such file"):
        await asyncio.wait_for(keeper.keep(), DEADLINE)


async def test_one_that_never_answers_is_given_up() -> None:
    """A start that hangs ends after its time, and the process with it."""
    patience = Patience(start=0.1, look=0.01)
    keeper = Keeper(shell("sleep 60"), no, patience=patience)
    with pytest.raises(CannotStart, match="exit status 137"):
        await asyncio.wait_for(keeper.keep(), DEADLINE)
    assert keeper.pid is None


@pytest.mark.parametrize("spare", [True, False])
async def test_later_it_is_given_up_only_if_nobody_does_its_work(
    tmp_path: Path, spare: bool
) -> None:
    """A worker that no longer starts is tried for ever while others serve, else a few times."""
    mark = tmp_path / "once"
    script = f"test -e {mark} && exit 3; touch {mark}; sleep 60"

    async def question() -> Answer | None:
        return Answer(200, b"") if keeper.restarts == 0 else None

    keeper = Keeper(shell(script), question, spare=lambda: spare, patience=QUICK)
    task = await running(keeper)
    await until(mark.exists)
    keeper.send(signal.SIGKILL)
    if not spare:
        with pytest.raises(CannotStart, match="exit status 3"):
            await asyncio.wait_for(task, DEADLINE)
        assert keeper.restarts == QUICK.attempts
        return
    await until(lambda: keeper.restarts > QUICK.attempts + 1)
    keeper.leave()
    await asyncio.wait_for(task, DEADLINE)


async def test_between_two_lives_its_burial_is_done() -> None:
    """What a dead child left is cleared away before the next one starts."""
    buried: list[int | None] = []

    async def bury() -> None:
        buried.append(keeper.pid)

    keeper = Keeper(shell("sleep 60"), yes, buried=bury, patience=QUICK)
    task = await running(keeper)
    keeper.send(signal.SIGKILL)
    await until(lambda: keeper.restarts == 1 and keeper.state is State.READY)
    assert buried == [None]
    keeper.leave(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


async def test_silence_is_noticed_and_forgiven() -> None:
    """One that stops answering is `silent`, keeps its process, and is `ready` when it is back."""
    answering = True

    async def question() -> Answer | None:
        return Answer(200, b"") if answering else None

    keeper = Keeper(shell("sleep 60"), question, patience=QUICK)
    task = await running(keeper)
    pid = keeper.pid
    answering = False
    await until(lambda: keeper.state is State.SILENT)
    answering = True
    await until(lambda: keeper.state is State.READY)
    assert keeper.pid == pid
    keeper.leave(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


@pytest.mark.parametrize("question", [yes, no])
async def test_told_to_leave_it_does_not_come_back(
    question: Callable[[], Awaitable[Answer | None]],
) -> None:
    """Whether ready or still starting, one that was told to leave ends without an error."""
    keeper = Keeper(shell("sleep 60"), question, patience=QUICK)
    task = asyncio.create_task(keeper.keep())
    await until(lambda: keeper.pid)
    keeper.leave(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)
    assert keeper.state is State.STOPPED
    assert keeper.restarts == 0


async def test_told_to_leave_while_waiting_it_ends_at_once() -> None:
    """The wait before a restart does not hold up the end."""
    patience = Patience(look=0.005, watch=0.02, first_delay=3600, longest_delay=3600)
    keeper = Keeper(shell("sleep 60"), yes, patience=patience)
    task = await running(keeper)
    keeper.send(signal.SIGKILL)
    await until(lambda: keeper.restarts == 1 and keeper.state is State.READY)
    keeper.send(signal.SIGKILL)
    await until(lambda: keeper.state is State.WAITING)
    keeper.leave(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)


async def test_a_cancelled_keeper_leaves_no_process() -> None:
    """If the keeping itself is cancelled, its child is gone."""
    keeper = Keeper(shell("sleep 60"), yes, patience=QUICK)
    task = await running(keeper)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until(lambda: keeper.pid is None)


def beating(path: Path) -> Recipe:
    """A child with a pulse, which SIGUSR1 ends."""
    script = (
        "import os, signal, sys, time\n"
        "fd = int(sys.argv[sys.argv.index('--pulse-fd') + 1])\n"
        "signal.signal(signal.SIGUSR1, lambda *_: time.sleep(3600))\n"
        "while True: os.write(fd, b'.'); time.sleep(0.02)"
    )
    return Recipe(
        "it",
        [sys.executable, "-c", script],
        err=lambda _lines: None,
        listening=Listening(path, mode=0o600),
    )


async def pulsing(path: Path, **patience: Any) -> tuple[Keeper, asyncio.Task[None]]:
    """A keeper of such a child, once it has been felt."""

    async def question() -> Answer | None:
        felt = keeper._child is not None and keeper._child.pulse is not None
        return Answer(200, b"") if felt and keeper._child.pulse.beats else None  # type: ignore[union-attr]

    keeper = Keeper(beating(path), question, patience=replace(QUICK, beat=0.1, **patience))
    return keeper, await running(keeper)


async def over(keeper: Keeper, task: asyncio.Task[None]) -> None:
    """Keep it no longer, and leave nothing open."""
    keeper.leave(signal.SIGTERM)
    await asyncio.wait_for(task, DEADLINE)
    assert keeper._recipe.listening is not None
    keeper._recipe.listening.close()


async def test_one_that_is_stopped_by_a_signal_is_killed_and_replaced(tmp_path: Path) -> None:
    """It cannot be merely busy, so it is not waited for as long as a blocked one."""
    keeper, task = await pulsing(tmp_path / "s", silent_after=4, frozen_after=10_000)
    before = keeper.pid
    keeper.send(signal.SIGSTOP)
    await until(lambda: keeper.restarts == 1 and keeper.state is State.READY)
    assert keeper.pid != before
    await over(keeper, task)


async def test_one_whose_loop_stands_still_is_killed_later(tmp_path: Path) -> None:
    """First nothing new goes there, then it is replaced."""
    keeper, task = await pulsing(tmp_path / "s", silent_after=4, frozen_after=8)
    keeper.send(signal.SIGUSR1)
    await until(lambda: keeper.state is State.SILENT)
    assert keeper.restarts == 0
    await until(lambda: keeper.restarts == 1 and keeper.state is State.READY)
    await over(keeper, task)


async def test_one_that_was_only_busy_is_ready_again(tmp_path: Path) -> None:
    """A pulse that comes back before its time is up costs nobody a stream."""
    keeper, task = await pulsing(tmp_path / "s", silent_after=4, frozen_after=10_000)
    pid, stopped = keeper.pid, keeper._child
    assert stopped is not None
    stopped.stopped = lambda: False  # type: ignore[method-assign]
    keeper.send(signal.SIGSTOP)
    await until(lambda: keeper.state is State.SILENT)
    keeper.send(signal.SIGCONT)
    await until(lambda: keeper.state is State.READY)
    assert (keeper.pid, keeper.restarts) == (pid, 0)
    await over(keeper, task)
