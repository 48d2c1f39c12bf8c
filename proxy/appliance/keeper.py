"""Keeps one child running: starts it, waits until it answers, watches it, starts it again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from proxy.appliance.child import Child, Recipe

if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable

    from proxy.appliance.ask import Answer
    from proxy.appliance.pulse import Pulse

_log = structlog.get_logger("appliance")


class State(StrEnum):
    """What a child is at."""

    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    """It runs, but has not answered lately."""
    WAITING = "waiting"
    """It died and will be started again soon."""
    STOPPED = "stopped"


class CannotStart(Exception):
    """A child does not come up; the text holds its last words."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for children; all times are seconds."""

    start: float = 30.0
    """Until it must have answered."""
    look: float = 0.01
    """Between two questions while it starts."""
    watch: float = 2.0
    """Between two questions once it is ready."""
    beat: float = 0.5
    """Between two looks at a pulse, as long as between two of its beats."""
    silent_after: int = 6
    """Looks without a beat until nothing new goes there: 3 s, which no burst has come near, since
    a beat is due before all the work that waits. Looks and not seconds are counted, so that a
    machine that was asleep, or too busy to look, holds nothing against anybody."""
    frozen_after: int = 20
    """Looks without a beat until it is killed: 10 s, in which no token of its streams has passed.
    One that was stopped by a signal cannot be merely busy, and is killed once it is silent."""
    first_delay: float = 0.1
    """Before it is started again after its second death in a row; doubles with each further one.
    After the first there is none: a crash by chance need not be waited for."""
    longest_delay: float = 10.0
    stable: float = 10.0
    """After so long a life its earlier deaths are forgotten."""
    attempts: int = 5
    """Starts in a row that may fail when nobody else does its work."""
    last_words: float = 12.0
    """Beyond the drain: for workers to tell those that they cut."""
    flush: float = 5.0
    """For clients to take what nginx still holds once the workers have ended."""
    stop: float = 1.0
    """Between the polite signal and the one that cannot be refused."""

    def delay(self, deaths: int) -> float:
        """How long to wait after so many deaths in a row."""
        if deaths <= 1:
            return 0.0
        return min(self.longest_delay, self.first_delay * 2.0 ** min(deaths - 2, 32))


@dataclass(slots=True)
class Life:
    """One life of a child, told when it has ended."""

    came_up: bool
    status: int
    seconds: float
    last_words: str


class Keeper:
    """One child that should always run.

    `question` asks it for a sign of life. `spare` tells whether others do its work meanwhile; if
    not, a child that fails to start several times in a row ends the keeping. `buried` is awaited
    after each death, before the next life. `changed` is called whenever it has another state.
    """

    def __init__(
        self,
        recipe: Recipe,
        question: Callable[[], Awaitable[Answer | None]],
        *,
        spare: Callable[[], bool] = lambda: False,
        buried: Callable[[], Awaitable[None]] | None = None,
        changed: Callable[[], None] = lambda: None,
        patience: Patience | None = None,
    ) -> None:
        self.name = recipe.name
        self._state = State.STOPPED
        self._changed = changed
        self.restarts = 0
        self.ready = asyncio.Event()
        """Set once it has come up for the first time."""
        self._recipe = recipe
        self._question = question
        self._spare = spare
        self._buried = buried
        self._patience = patience or Patience()
        self._child: Child | None = None
        self._leaving = asyncio.Event()

    @property
    def state(self) -> State:
        """What it is at."""
        return self._state

    @state.setter
    def state(self, state: State) -> None:
        if state is not self._state:
            self._state = state
            self._changed()

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def keep(self) -> None:
        """Keep it running until told to `leave`.

        Raises `CannotStart` when its first start fails, or later when it no longer comes up and
        nobody else does its work.
        """
        deaths = failures = 0
        while not self._leaving.is_set():
            life = await self._live()
            if self._leaving.is_set():
                break
            deaths = 1 if life.seconds >= self._patience.stable else deaths + 1
            failures = 0 if life.came_up else failures + 1
            if failures and not self.ready.is_set():
                raise CannotStart(self._obituary(life))
            if failures >= self._patience.attempts and not self._spare():
                raise CannotStart(self._obituary(life))
            await self._pause(life, deaths)
        self.state = State.STOPPED

    def leave(self, number: signal.Signals | None = None) -> None:
        """Do not start it again; send it a signal, if one is given."""
        self._leaving.set()
        if number is not None:
            self.send(number)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._child is not None:
            self._child.send(number)

    def kill(self) -> None:
        """End it at once."""
        self._leaving.set()
        if self._child is not None and self._child.running:
            self._child.kill()

    async def _live(self) -> Life:
        loop = asyncio.get_running_loop()
        born = loop.time()
        self.state = State.STARTING
        child = self._child = await Child.start(self._recipe)
        ending = asyncio.create_task(child.wait())
        try:
            came_up = await self._come_up(child, ending)
            if came_up:
                self.state = State.READY
                self.ready.set()
                _log.info("started", process=self.name, pid=child.pid, restarts=self.restarts)
                await self._watch(child, ending)
            status = await ending
            self.state = State.WAITING
        finally:
            if child.running:
                child.kill()
            ending.cancel()
        if self._buried is not None:
            await self._buried()
        return Life(came_up, status, loop.time() - born, await child.last_words())

    async def _come_up(self, child: Child, ending: asyncio.Task[int]) -> bool:
        """Wait until it answers, and kill it if it does not in time."""
        try:
            async with asyncio.timeout(self._patience.start):
                while not ending.done():
                    answer = await self._question()
                    if answer is not None and answer.status == 200 and not ending.done():
                        return True
                    await asyncio.wait({ending}, timeout=self._patience.look)
        except TimeoutError:
            _log.error("no_answer", process=self.name, seconds=self._patience.start)
            child.kill()
        return False

    async def _watch(self, child: Child, ending: asyncio.Task[int]) -> None:
        """Look for signs of life until it ends."""
        if child.pulse is None or not child.pulse.beats:
            await self._ask_on(ending)
        else:
            await self._feel_pulse(child, child.pulse, ending)

    async def _ask_on(self, ending: asyncio.Task[int]) -> None:
        """Ask now and then. Any answer is a sign of life, a refusal too.

        One that is silent is not killed: it may only be busy. It is said in the log, in `/status`
        and by readiness.
        """
        while not (await asyncio.wait({ending}, timeout=self._patience.watch))[0]:
            alive = await self._question() is not None
            self._seen(State.READY if alive else State.SILENT, ending)

    async def _feel_pulse(self, child: Child, pulse: Pulse, ending: asyncio.Task[int]) -> None:
        """Count the looks without a beat: without one for long, nothing new goes there.

        Then it is killed: its streams stand still, and only a new one can serve who waits.
        """
        patience, last, missed = self._patience, pulse.beats, 0
        while not (await asyncio.wait({ending}, timeout=patience.beat))[0]:
            missed = 0 if pulse.beats != last else missed + 1
            last = pulse.beats
            silent = missed >= patience.silent_after
            self._seen(State.SILENT if silent else State.READY, ending)
            if missed >= patience.frozen_after or (
                silent and await asyncio.to_thread(child.stopped)
            ):
                _log.error(
                    "frozen",
                    process=self.name,
                    pid=child.pid,
                    seconds=missed * patience.beat,
                    advice="It is killed and started again; its streams are cut.",
                )
                child.kill()
                return

    def _seen(self, state: State, ending: asyncio.Task[int]) -> None:
        if state is not self.state and not ending.done():
            _log.warning("state", process=self.name, pid=self.pid, state=state.value)
            self.state = state

    async def _pause(self, life: Life, deaths: int) -> None:
        delay = self._patience.delay(deaths)
        self.state = State.WAITING
        _log.error(
            "died",
            process=self.name,
            status=life.status,
            lived=round(life.seconds, 3),
            again_in=delay,
            last_words=life.last_words,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._leaving.wait()
        self.restarts += 1

    def _obituary(self, life: Life) -> str:
        words = life.last_words or "(it said nothing)"
        return f"{self.name} cannot start (exit status {life.status}). Its last words:\n{words}"
