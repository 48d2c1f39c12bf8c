"""All that the supervisor keeps running: the demo upstream, the workers, nginx."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from proxy.appliance import commands, nginx, ports, store_program
from proxy.appliance.announce import uses_demo
from proxy.appliance.ask import Answer, ask_port, ask_socket
from proxy.appliance.child import Recipe
from proxy.appliance.keeper import CannotStart, Keeper, Patience, State
from proxy.appliance.ledger import WAIT_SECONDS, Ledger
from proxy.appliance.lines import to_log
from proxy.appliance.listening import Listening
from proxy.appliance.nginx_log import NginxLog
from proxy.state.ping import ping

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    from proxy.appliance.directory import RunDirectory
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.settings import Settings

_ASK_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Programs:
    """What is run as what; tests put others in."""

    nginx: NginxProgram
    worker: Callable[[Path, int, int], list[str]] = commands.worker
    demo: Callable[[int], list[str]] = commands.demo
    patience: Patience = field(default_factory=Patience)


class Crew:
    """One keeper for each process.

    Raises `CannotStart` where a store is needed and there is no program for one.
    """

    def __init__(self, settings: Settings, run: RunDirectory, programs: Programs) -> None:
        self._settings = settings
        self._run = run
        self._programs = programs
        self._ledger = Ledger(run.metrics)
        self._settling: asyncio.Task[None] | None = None
        self._extra = {"PROMETHEUS_MULTIPROC_DIR": str(run.metrics)}
        self._away: dict[Keeper, asyncio.TimerHandle] = {}
        """Of the workers that are away: when those who wait for them are told to try again."""
        self._sockets = tuple(self._listening(index) for index in range(settings.workers))
        self.demo = self._demo_keeper() if uses_demo(settings) else None
        self.store = self._store_keeper() if store_program.wanted(settings) else None
        self.workers = tuple(self._worker_keeper(index) for index in range(settings.workers))
        self.nginx = self._nginx_keeper()

    @property
    def behind_nginx(self) -> tuple[Keeper, ...]:
        """All that must answer before nginx opens the public ports."""
        return (*(one for one in (self.demo, self.store) if one is not None), *self.workers)

    @property
    def all(self) -> tuple[Keeper, ...]:
        """Every keeper."""
        return (*self.behind_nginx, self.nginx)

    @property
    def serving(self) -> bool:
        """Whether a client that comes now meets nginx and, behind it, a worker."""
        return self.nginx.state is State.READY and self.worker_serving()

    def worker_serving(self) -> bool:
        """Whether at least one worker answers."""
        return any(worker.state is State.READY for worker in self.workers)

    def close_sockets(self) -> None:
        """Own the workers' sockets no longer: nobody is going to be started again."""
        for one in self._sockets:
            one.close()

    async def worker_reports(self) -> list[dict[str, Any]]:
        """What each worker says of itself, with what its keeper knows."""
        return list(await asyncio.gather(*map(self._report, range(len(self.workers)))))

    async def _report(self, index: int) -> dict[str, Any]:
        socket = str(self._sockets[index].path)
        answer = await ask_socket(socket, "/internal/status", seconds=_ASK_SECONDS)
        said = json.loads(answer.body) if answer is not None and answer.status == 200 else {}
        return {"index": index, **said, **described(self.workers[index])}

    def _listening(self, index: int) -> Listening:
        # nginx, as nobody, must be able to connect; the directory around it is private.
        mode = 0o666 if self._run.nginx_user else 0o600
        return Listening(self._run.worker_socket(index), mode=mode)

    def _direct(self) -> None:
        """Send what is new to the workers that are ready; where none is, it waits in their lines.

        Not for ever: after the queue's time those who wait for a worker that is still away are
        told to try again.
        """
        anybody = self.worker_serving()
        for worker, listening in zip(self.workers, self._sockets, strict=True):
            listening.show(worker.state is State.READY or not anybody)
            if worker.state is State.READY:
                if worker in self._away:
                    self._away.pop(worker).cancel()
            elif worker not in self._away and worker.ready.is_set():
                self._let_wait(worker, listening)

    def _let_wait(self, worker: Keeper, listening: Listening) -> None:
        def turn_away() -> None:
            listening.turn_away()
            self._let_wait(worker, listening)

        seconds = self._settings.queue_timeout_seconds
        self._away[worker] = asyncio.get_running_loop().call_later(seconds, turn_away)

    def _demo_keeper(self) -> Keeper:
        port = ports.free_port()
        self._extra["SLUICE_UPSTREAM_URL"] = f"http://127.0.0.1:{port}/v1"
        said = to_log("demo")
        recipe = Recipe(
            "demo",
            self._programs.demo(port),
            environment=commands.environment(),
            out=said,
            err=said,
        )
        return self._keeper(recipe, lambda: _ask_port("127.0.0.1", port, "/v1/models"))

    def _store_keeper(self) -> Keeper:
        socket, said = self._run.store_socket, to_log("store")
        try:
            program = store_program.find()
        except store_program.NoStore as error:
            raise CannotStart(str(error)) from None
        self._extra["SLUICE_STORE_URL"] = f"unix://{socket}"
        recipe = Recipe(
            "store",
            store_program.command(program, socket, self._settings.store_memory_bytes),
            out=said,
            err=said,
        )

        async def question() -> Answer | None:
            return Answer(200, b"") if await ping(str(socket), _ASK_SECONDS) else None

        # Once it has been there, its deaths end nobody else: it is only started again.
        return self._keeper(recipe, question, spare=self._store_was_there)

    def _store_was_there(self) -> bool:
        return self.store is not None and self.store.ready.is_set()

    def _worker_keeper(self, index: int) -> Keeper:
        listening = self._sockets[index]
        recipe = Recipe(
            f"worker-{index}",
            self._programs.worker(listening.path, index, self._settings.workers),
            environment=commands.environment(**self._extra),
            # nginx, as nobody, must be able to connect; the directory around it is private.
            umask=0o000 if self._run.nginx_user else 0o077,
            listening=listening,
        )
        return self._keeper(
            recipe,
            lambda: ask_socket(str(listening.path), "/readyz", seconds=_ASK_SECONDS),
            spare=self.worker_serving,
            buried=lambda: self._forget_levels(index),
            changed=self._direct,
        )

    def _nginx_keeper(self) -> Keeper:
        settings = self._settings
        log = NginxLog(for_people=settings.log_format == "console", told=self._ledger.saw)
        recipe = nginx.recipe(self._programs.nginx, self._run, log)
        return self._keeper(
            recipe,
            lambda: _ask_port(settings.listen_address, settings.listen_port, "/healthz"),
            buried=lambda: asyncio.to_thread(log.flush),
        )

    def _keeper(
        self, recipe: Recipe, question: Callable[[], Awaitable[Answer | None]], **more: Any
    ) -> Keeper:
        return Keeper(recipe, question, patience=self._programs.patience, **more)

    async def _forget_levels(self, index: int) -> None:
        """What a dead worker had in flight is in flight no more; what it counted stays."""
        await asyncio.to_thread(_forget_levels, str(self._run.metrics), index)
        await asyncio.to_thread(self._ledger.buried, index)
        asyncio.get_running_loop().call_later(WAIT_SECONDS + 0.1, self._settle)

    def _settle(self) -> None:
        self._settling = asyncio.create_task(asyncio.to_thread(self._ledger.settle))


def described(keeper: Keeper) -> dict[str, object]:
    """What a keeper knows, ready for JSON."""
    return {"pid": keeper.pid, "state": keeper.state.value, "restarts": keeper.restarts}


async def _ask_port(address: str, port: int, route: str) -> Answer | None:
    return await ask_port(address, port, route, seconds=_ASK_SECONDS)


def _forget_levels(directory: str, index: int) -> None:
    # Slow to load, and not needed to start.
    import_module("proxy.meter.multiprocess").forget_levels(directory, index)
