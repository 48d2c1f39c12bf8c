"""The workers' listening sockets: which of them nginx finds, and what becomes of their backlogs."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from proxy.appliance.backlog_rejection import BacklogRejection
from proxy.appliance.monitor import ProcessState
from proxy.appliance.worker_socket import WorkerSocket

if TYPE_CHECKING:
    from collections.abc import Sequence

    from proxy.appliance.monitor import ProcessMonitor
    from proxy.appliance.run_directory import RunDirectory
    from proxy.appliance.uncounted_requests import UncountedRequests
    from proxy.settings import Settings


class WorkerSockets:
    """One for each worker, by index. The supervisor owns them, so they outlive every worker."""

    def __init__(self, run: RunDirectory, settings: Settings, uncounted: UncountedRequests) -> None:
        self._run = run
        self._settings = settings
        self._reject_backlog = BacklogRejection(uncounted, settings.paths)
        # nginx, as user nobody, must be able to connect; the directory is private.
        mode = 0o666 if run.nginx_user else 0o600
        self._sockets = tuple(
            WorkerSocket(run.worker_socket(index), mode=mode) for index in range(settings.workers)
        )
        self._away_timers: dict[ProcessMonitor, asyncio.TimerHandle] = {}
        """By unavailable worker: the timer that rejects the connections in its backlog."""

    def __getitem__(self, index: int) -> WorkerSocket:
        """Return the socket of one worker."""
        return self._sockets[index]

    def close(self) -> None:
        """Close all of them, as no worker will be restarted."""
        for worker_socket in self._sockets:
            worker_socket.close()

    def route_new_connections(self, workers: Sequence[ProcessMonitor]) -> None:
        """Show nginx the sockets of ready workers only; if none is ready, all of them.

        Connections in the backlog of an unavailable worker are rejected after the queue timeout.
        """
        any_ready = any(worker.state is ProcessState.READY for worker in workers)
        hidden = [
            worker.given_up or (any_ready and worker.state is not ProcessState.READY)
            for worker in workers
        ]
        if any(hidden):
            self._mark_worker_away(away=True)
        for worker, listening, hide in zip(workers, self._sockets, hidden, strict=True):
            listening.show(not hide)
            if worker.given_up:
                self._reject_backlog(listening)
            elif worker.state is ProcessState.READY:
                if worker in self._away_timers:
                    self._away_timers.pop(worker).cancel()
            elif worker not in self._away_timers and worker.ready.is_set():
                self._reject_later(worker, listening)
        if not any(hidden):
            self._mark_worker_away(away=False)

    def _mark_worker_away(self, *, away: bool) -> None:
        """Create the file that nginx looks for before a socket is hidden; remove it once all show.

        Without it only `GET /v1/stream` is affected, so a full disk or a removed directory is no
        reason to fail.
        """
        with contextlib.suppress(OSError):
            if away:
                self._run.worker_away.touch()
            else:
                self._run.worker_away.unlink(missing_ok=True)

    def _reject_later(self, worker: ProcessMonitor, listening: WorkerSocket) -> None:
        def reject() -> None:
            self._reject_backlog(listening)
            self._reject_later(worker, listening)

        seconds = self._settings.queue_timeout_seconds
        self._away_timers[worker] = asyncio.get_running_loop().call_later(seconds, reject)
