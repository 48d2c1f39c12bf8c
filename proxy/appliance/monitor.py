"""Keeps one child running: starts it, waits until it answers, watches it, starts it again."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

import structlog

from proxy.appliance.child import Child, ProcessSpec

if TYPE_CHECKING:
    import signal
    from collections.abc import Awaitable, Callable

    from proxy.appliance.http_probe import ProbeResponse
    from proxy.appliance.pulse import Pulse

_log = structlog.get_logger("appliance")


class ProcessState(StrEnum):
    """What a child is at."""

    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    """It runs, but has not answered lately."""
    WAITING = "waiting"
    """It died and will be started again soon."""
    STOPPED = "stopped"


class CannotStart(Exception):
    """A child does not come up; the text holds its stderr tail."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """How long to wait for children; all times are seconds."""

    start: float = 30.0
    """Until it must have answered."""
    poll: float = 0.01
    """Between two questions while it starts."""
    check: float = 2.0
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
    final_events: float = 12.0
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
class Run:
    """One life of a child, told when it has ended."""

    came_up: bool
    status: int
    seconds: float
    stderr_tail: str
    ended_by_us: bool = False
    """Whether it was killed from here, because it was frozen or never answered."""


class ProcessMonitor:
    """One child that should always run.

    `probe` asks it for a sign of life. `has_spare` tells whether others do its work meanwhile; if
    not, a child that fails to start several times in a row ends the monitoring. `on_exit` is
    awaited after each death, and then `gives_up` is asked whether there is no further life.
    `changed` is called whenever it has another state.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        probe: Callable[[], Awaitable[ProbeResponse | None]],
        *,
        has_spare: Callable[[], bool] = lambda: False,
        gives_up: Callable[[Run], bool] = lambda _run: False,
        on_exit: Callable[[], Awaitable[None]] | None = None,
        changed: Callable[[], None] = lambda: None,
        restart_policy: RestartPolicy | None = None,
    ) -> None:
        self.name = spec.name
        self._state = ProcessState.STOPPED
        self._changed = changed
        self.restarts = 0
        self.ready = asyncio.Event()
        """Set once it has come up for the first time."""
        self._spec = spec
        self._probe = probe
        self._has_spare = has_spare
        self._gives_up = gives_up
        self.given_up = False
        """Whether it has died for good: it is never started again."""
        self._on_exit = on_exit
        self._restart_policy = restart_policy or RestartPolicy()
        self._child: Child | None = None
        self._stopping = asyncio.Event()

    @property
    def state(self) -> ProcessState:
        """What it is at."""
        return self._state

    @state.setter
    def state(self, state: ProcessState) -> None:
        if state is not self._state:
            self._state = state
            self._changed()

    @property
    def pid(self) -> int | None:
        """The process id, while it runs."""
        return self._child.pid if self._child is not None and self._child.running else None

    async def run(self) -> None:
        """Keep it running until told to `stop`.

        Raises `CannotStart` when its first start fails, or later when it no longer comes up and
        nobody else does its work.
        """
        deaths = failures = 0
        while not self._stopping.is_set():
            ended = await self._run_once()
            if self._stopping.is_set():
                break
            if self._gives_up(ended):
                self.given_up = True
                break
            deaths = 1 if ended.seconds >= self._restart_policy.stable else deaths + 1
            failures = 0 if ended.came_up else failures + 1
            if failures and not self.ready.is_set():
                raise CannotStart(self._failure_text(ended))
            if failures >= self._restart_policy.attempts and not self._has_spare():
                raise CannotStart(self._failure_text(ended))
            await self._back_off(ended, deaths)
        self.state = ProcessState.STOPPED

    def stop(self, number: signal.Signals | None = None) -> None:
        """Do not start it again; send it a signal, if one is given."""
        self._stopping.set()
        if number is not None:
            self.send(number)

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it runs."""
        if self._child is not None:
            self._child.send(number)

    def kill(self) -> None:
        """End it at once."""
        self._stopping.set()
        if self._child is not None and self._child.running:
            self._child.kill()

    async def _run_once(self) -> Run:
        loop = asyncio.get_running_loop()
        born = loop.time()
        self.state = ProcessState.STARTING
        child = self._child = await Child.start(self._spec)
        ending = asyncio.create_task(child.wait())
        try:
            came_up = await self._wait_until_up(child, ending)
            if came_up:
                self.state = ProcessState.READY
                self.ready.set()
                _log.info("started", process=self.name, pid=child.pid, restarts=self.restarts)
                await self._watch(child, ending)
            status = await ending
            self.state = ProcessState.WAITING
        finally:
            if child.running:
                child.kill()
            ending.cancel()
        if self._on_exit is not None:
            await self._on_exit()
        seconds, tail = loop.time() - born, await child.stderr_tail()
        return Run(came_up, status, seconds, tail, ended_by_us=child.killed)

    async def _wait_until_up(self, child: Child, ending: asyncio.Task[int]) -> bool:
        """Wait until it answers, and kill it if it does not in time."""
        try:
            async with asyncio.timeout(self._restart_policy.start):
                while not ending.done():
                    response = await self._probe()
                    if response is not None and response.status == 200 and not ending.done():
                        return True
                    await asyncio.wait({ending}, timeout=self._restart_policy.poll)
        except TimeoutError:
            _log.error("no_answer", process=self.name, seconds=self._restart_policy.start)
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
        while not (await asyncio.wait({ending}, timeout=self._restart_policy.check))[0]:
            alive = await self._probe() is not None
            self._seen(ProcessState.READY if alive else ProcessState.SILENT, ending)

    async def _feel_pulse(self, child: Child, pulse: Pulse, ending: asyncio.Task[int]) -> None:
        """Count the looks without a beat: without one for long, nothing new goes there.

        Then it is killed: its streams stand still, and only a new one can serve who waits.
        """
        patience, last, missed = self._restart_policy, pulse.beats, 0
        while not (await asyncio.wait({ending}, timeout=patience.beat))[0]:
            missed = 0 if pulse.beats != last else missed + 1
            last = pulse.beats
            silent = missed >= patience.silent_after
            self._seen(ProcessState.SILENT if silent else ProcessState.READY, ending)
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

    def _seen(self, state: ProcessState, ending: asyncio.Task[int]) -> None:
        if state is not self.state and not ending.done():
            _log.warning("state", process=self.name, pid=self.pid, state=state.value)
            self.state = state

    async def _back_off(self, ended: Run, deaths: int) -> None:
        delay = self._restart_policy.delay(deaths)
        self.state = ProcessState.WAITING
        _log.error(
            "died",
            process=self.name,
            status=ended.status,
            lived=round(ended.seconds, 3),
            again_in=delay,
            last_words=ended.stderr_tail,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()
        self.restarts += 1

    def _failure_text(self, ended: Run) -> str:
        words = ended.stderr_tail or "(it said nothing)"
        return f"{self.name} cannot start (exit status {ended.status}). Its last words:\n{words}"
