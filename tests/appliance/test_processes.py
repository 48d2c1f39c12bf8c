from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from proxy.appliance.monitor import CannotStart, ProcessState, RestartPolicy
from proxy.appliance.nginx_program import NginxProgram
from proxy.appliance.processes import Processes, Programs
from proxy.appliance.run_directory import RunDirectory
from proxy.settings import Settings
from proxy.state.ping import ping

UPSTREAM: dict[str, Any] = {"upstream_url": "http://127.0.0.1:9/v1"}


def processes(*, nginx_user: str | None = None, **settings: Any) -> Processes:
    """Processes of which none has started."""
    run = RunDirectory(Path("/run/x"), nginx_user)
    return Processes(Settings(**settings), run, Programs(NginxProgram("/usr/sbin/nginx", (1, 26))))


def test_without_an_upstream_there_is_a_demo_and_the_workers_are_told() -> None:
    """The demo comes first, and its address is the workers' upstream."""
    appliance = processes(workers=2, resumable="off")
    assert [monitor.name for monitor in appliance.all] == ["demo", "worker-0", "worker-1", "nginx"]
    environment = appliance.workers[1]._spec.environment
    assert appliance.demo is not None
    assert environment is not None
    assert environment["SLUICE_UPSTREAM_URL"].startswith("http://127.0.0.1:")
    assert appliance.demo._spec.command[-1] in environment["SLUICE_UPSTREAM_URL"]


def test_with_an_upstream_there_is_no_demo() -> None:
    """Nobody gets made-up answers by accident."""
    appliance = processes(workers=1, resumable="off", **UPSTREAM)
    assert appliance.demo is None
    assert [monitor.name for monitor in appliance.behind_nginx] == ["worker-0"]


LIMITED = [{"name": "web", "key": "sk-web", "max_streams": 1}]


def test_a_key_with_a_limit_brings_a_store() -> None:
    """It is there before the workers, which are told where; nobody else gets one."""
    appliance = processes(workers=1, keys=LIMITED, **UPSTREAM)
    assert [monitor.name for monitor in appliance.behind_nginx] == ["store", "worker-0"]
    environment = appliance.workers[0]._spec.environment
    assert environment is not None
    assert environment["SLUICE_STORE_URL"] == "unix:///run/x/store.sock"
    for more in ({"keys": [{"name": "web", "key": "k"}]}, {"keys": LIMITED, "store_url": "off"}):
        assert processes(workers=1, resumable="off", **more, **UPSTREAM).store is None


def test_resumable_streams_bring_a_store_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without a program for it everything else works all the same."""
    appliance = processes(workers=1, **UPSTREAM)
    assert [monitor.name for monitor in appliance.behind_nginx] == ["store", "worker-0"]
    monkeypatch.setattr("proxy.appliance.store_program.candidates", lambda: iter(()))
    with capture_logs() as logged:
        assert processes(workers=1, **UPSTREAM).store is None
    assert [line["event"] for line in logged] == ["streams_not_resumable"]


def test_a_limit_and_no_program_to_count_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said at the start, with what would help."""
    monkeypatch.setattr("proxy.appliance.store_program.candidates", lambda: iter(()))
    with pytest.raises(CannotStart, match="valkey-server"):
        processes(workers=1, keys=LIMITED, **UPSTREAM)


async def test_the_store_is_started_again_however_often_it_dies(
    tmp_path: Path,
) -> None:
    """Bounded, on its socket alone, and not the end of anybody else."""
    run = RunDirectory(tmp_path, None)
    programs = Programs(
        NginxProgram("nginx", (1, 26)), restart_policy=RestartPolicy(poll=0.02, check=0.05)
    )
    settings = Settings(workers=1, keys=LIMITED, **UPSTREAM)
    # As in `sluice run`, before there is a loop to be blocked.
    store = (await asyncio.to_thread(Processes, settings, run, programs)).store
    assert store is not None
    keeping = asyncio.create_task(store.run())
    try:
        for deaths in range(3):
            # It may answer before its monitor has seen that it does; killed then, it would be one
            # that never came up.
            async with asyncio.timeout(20):
                while not (
                    store.restarts >= deaths
                    and store.ready.is_set()
                    and await ping(str(run.store_socket), 5)
                ):
                    await asyncio.sleep(0.02)
            assert store.pid is not None
            os.kill(store.pid, signal.SIGKILL)
    finally:
        store.stop(signal.SIGTERM)
        await asyncio.wait_for(keeping, 20)


@pytest.mark.parametrize(("nginx_user", "umask"), [(None, 0o077), ("nobody nogroup", 0)])
def test_sockets_are_open_to_nginx_only_where_it_is_somebody_else(
    nginx_user: str | None, umask: int
) -> None:
    """Without another user, what workers write is theirs alone."""
    appliance = processes(nginx_user=nginx_user, workers=1, **UPSTREAM)
    assert appliance.workers[0]._spec.umask == umask


async def test_what_a_dead_worker_had_in_flight_is_forgotten(tmp_path: Path) -> None:
    """Its levels go with it, before it is started again; another's stay."""
    run = RunDirectory(tmp_path, None)
    run.metrics.mkdir()
    for name in ("gauge_livesum_worker-0.db", "gauge_livesum_worker-1.db", "counter_worker-0.db"):
        (run.metrics / name).touch()
    appliance = Processes(
        Settings(workers=2, resumable="off", **UPSTREAM),
        run,
        Programs(NginxProgram("nginx", (1, 26))),
    )
    on_exit = appliance.workers[0]._on_exit
    assert on_exit is not None
    await on_exit()
    left = await asyncio.to_thread(os.listdir, run.metrics)
    assert sorted(left) == ["counter_worker-0.db", "gauge_livesum_worker-1.db"]


@pytest.mark.parametrize(
    ("nginx", "workers", "serving"),
    [
        (ProcessState.READY, [ProcessState.READY, ProcessState.READY], True),
        (ProcessState.READY, [ProcessState.WAITING, ProcessState.READY], True),
        (ProcessState.READY, [ProcessState.SILENT, ProcessState.WAITING], False),
        (ProcessState.WAITING, [ProcessState.READY, ProcessState.READY], False),
    ],
)
def test_serving_takes_nginx_and_one_worker(
    nginx: ProcessState, workers: list[ProcessState], serving: bool
) -> None:
    """One worker that is away does not take the machine out of service; all of them do."""
    appliance = processes(workers=2, **UPSTREAM)
    appliance.nginx.state = nginx
    for monitor, state in zip(appliance.workers, workers, strict=True):
        monitor.state = state
    assert appliance.serving is serving
