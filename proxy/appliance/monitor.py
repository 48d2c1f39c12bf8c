"""Monitors one child: starts it, waits until it answers, watches it, and restarts it."""

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

    from proxy.appliance.heartbeat_reader import HeartbeatReader
    from proxy.appliance.http_probe import ProbeResponse

_log = structlog.get_logger("appliance")


class ProcessState(StrEnum):
    """The state of a child."""

    STARTING = "starting"
    READY = "ready"
    SILENT = "silent"
    """It runs, but does not answer."""
    WAITING = "waiting"
    """It died and will be restarted after a delay."""
    STOPPED = "stopped"


class CannotStart(Exception):
    """A child does not start; the message contains its stderr tail."""


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """When children are probed, killed and restarted; all times are seconds."""

    start: float = 30.0
    """The time limit for the first answer."""
    poll: float = 0.01
    """The interval of probes while it starts."""
    check: float = 2.0
    """The interval of probes once it is ready."""
    beat: float = 0.5
    """The interval of checks for a heartbeat, as long as the heartbeat's own interval."""
    silent_after: int = 6
    """Checks without a beat until it gets no new requests: 3 s, far more than any burst delays a
    beat, since a beat runs before all waiting work. Checks are counted instead of seconds, so that
    a machine that was asleep, or too busy to check, blames no child."""
    frozen_after: int = 20
    """Checks without a beat until it is killed: 10 s, in which its streams relayed nothing. A child
    that a signal has stopped cannot be just busy, and is killed once it is silent."""
    first_delay: float = 0.1
    """The delay before a restart after the second death in a row; it doubles with each further one.
    After the first death the restart is immediate."""
    longest_delay: float = 10.0
    stable: float = 10.0
    """After a run of this length, earlier deaths are forgotten."""
    attempts: int = 5
    """Consecutive starts that may fail if no other process does the same work."""
    final_events: float = 12.0
    """Time after the drain for workers to send error events in the streams that they cut."""
    flush: float = 5.0
    """Time for nginx to send what it has buffered after the workers have ended."""
    stop: float = 1.0
    """Time between the signal to stop and SIGKILL."""

    def delay(self, deaths: int) -> float:
        """Return the delay before a restart after `deaths` deaths in a row."""
        if deaths <= 1:
            return 0.0
        return min(self.longest_delay, self.first_delay * 2.0 ** min(deaths - 2, 32))


@dataclass(slots=True)
class Run:
    """One ended run of a child."""

    came_up: bool
    status: int
    seconds: float
    stderr_tail: str
    ended_by_us: bool = False
    """Whether the monitor killed it, because it was frozen or never answered."""


class ProcessMonitor:
    """One child that should always run.

    `probe` checks whether it answers. `has_spare` says whether other processes do its work
    meanwhile; if not, repeated failures to start end the monitoring. `on_exit` is awaited after
    each end; then `gives_up` decides whether not to restart. `changed` is called on each change of
    state.
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
        """Set when the child has answered for the first time."""
        self._spec = spec
        self._probe = probe
        self._has_spare = has_spare
        self._gives_up = gives_up
        self.given_up = False
        """Whether it is not restarted any more."""
        self._on_exit = on_exit
        self._restart_policy = restart_policy or RestartPolicy()
        self._child: Child | None = None
        self._stopping = asyncio.Event()

    @property
    def state(self) -> ProcessState:
        """The child's state."""
        return self._state

    @state.setter
    def state(self, state: ProcessState) -> None:
        if state is not self._state:
            self._state = state
            self._changed()

    @property
    def pid(self) -> int | None:
        """The process id; None if it does not run."""
        return self._child.pid if self._child is not None and self._child.running else None

    def status(self) -> dict[str, object]:
        """Return the process id, the state and the restarts, for JSON."""
        return {"pid": self.pid, "state": self.state.value, "restarts": self.restarts}

    async def run(self) -> None:
        """Keep the child running until `stop` is called.

        Raises `CannotStart` if the first start fails, or if later starts fail repeatedly and no
        other process does the same work.
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
        """Stop restarting the child, and send it a signal, if one is given."""
        self._stopping.set()
        if number is not None:
            self.send(number)

    def send(self, number: signal.Signals) -> None:
        """Send the child a signal, if it runs."""
        if self._child is not None:
            self._child.send(number)

    def kill(self) -> None:
        """Kill the child, and do not restart it."""
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
        """Wait until the child answers; kill it on a timeout."""
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
        """Watch the child until it ends."""
        if child.heartbeat is None or not child.heartbeat.beats:
            await self._poll_probe(ending)
        else:
            await self._watch_heartbeat(child, child.heartbeat, ending)

    async def _poll_probe(self, ending: asyncio.Task[int]) -> None:
        """Probe periodically. Any response counts as alive, an error status too.

        A silent child is not killed, as it may just be busy, but reported in the log, in `/status`
        and by readiness.
        """
        while not (await asyncio.wait({ending}, timeout=self._restart_policy.check))[0]:
            alive = await self._probe() is not None
            self._set_state(ProcessState.READY if alive else ProcessState.SILENT, ending)

    async def _watch_heartbeat(
        self, child: Child, heartbeat: HeartbeatReader, ending: asyncio.Task[int]
    ) -> None:
        """Count checks without a heartbeat: first mark the child as silent, then kill it.

        A frozen child's streams are stalled, and only a new one can serve the waiting clients.
        """
        policy, last, missed = self._restart_policy, heartbeat.beats, 0
        while not (await asyncio.wait({ending}, timeout=policy.beat))[0]:
            missed = 0 if heartbeat.beats != last else missed + 1
            last = heartbeat.beats
            silent = missed >= policy.silent_after
            self._set_state(ProcessState.SILENT if silent else ProcessState.READY, ending)
            if missed >= policy.frozen_after or (silent and await asyncio.to_thread(child.stopped)):
                _log.error(
                    "frozen",
                    process=self.name,
                    pid=child.pid,
                    seconds=missed * policy.beat,
                    advice="It is killed and restarted; its streams are cut.",
                )
                child.kill()
                return

    def _set_state(self, state: ProcessState, ending: asyncio.Task[int]) -> None:
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
            stderr_tail=ended.stderr_tail,
        )
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay):
                await self._stopping.wait()
        self.restarts += 1

    def _failure_text(self, ended: Run) -> str:
        tail = ended.stderr_tail or "(empty)"
        return (
            f"{self.name} cannot start (exit status {ended.status}). The end of its stderr:\n{tail}"
        )
