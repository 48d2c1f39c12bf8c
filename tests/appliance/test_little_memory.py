"""An appliance in little memory, and workers that are killed again and again."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from tests.appliance.running import Running, wait_until

UNSET = {"SLUICE_WORKERS": ""}


def test_what_was_chosen_is_said_once_and_holds(tmp_path: Path) -> None:
    """In 128 MiB one worker, although nothing else would keep it from having more."""
    with Running(tmp_path, SLUICE_MEMORY_BYTES=str(128 * 1024**2), **UNSET) as running:
        running.ready()
        (entry,) = running.logged("sized")
        assert entry["workers"] == 1
        assert entry["max_streams"] < 1000
        assert "SLUICE_MEMORY_BYTES" in entry["why"]
        assert len(running.status()["workers"]) == 1


def test_what_is_set_and_does_not_fit_is_warned_of(tmp_path: Path) -> None:
    """And holds: the operator knows better, or has been told."""
    small = str(128 * 1024**2)
    with Running(tmp_path, SLUICE_MEMORY_BYTES=small, SLUICE_WORKERS="3") as running:
        running.ready()
        advice = [line["advice"] for line in running.logged("limits")]
        assert any("SLUICE_WORKERS (1 would fit)" in line for line in advice)
        assert len(running.status()["workers"]) == 3


def test_a_worker_killed_again_and_again_leaves_its_siblings_alone(tmp_path: Path) -> None:
    """It is not started a fourth time; clients are served, and it is said everywhere."""
    with Running(tmp_path, SLUICE_WORKERS="2") as running:
        running.ready()
        for deaths in (1, 2, 3):
            kill(running, 1, deaths)
        wait_until(lambda: worker(running, 1)["state"] == "stopped", "given up")
        assert running.logged("fewer_workers")[0]["left"] == 1
        assert running.status()["reductions"] == ["worker-1 is not started again"]
        metrics = running.get("/metrics", admin=True)[1].decode()
        assert "sluice_reductions_total 1" in metrics
        assert 'sluice_process_up{process="worker-1"}' not in metrics
        assert running.get("/readyz", admin=True)[0] == 200
        for _ in range(10):
            assert running.get("/v1/echo")[0] == 200


def test_the_last_worker_comes_back_with_fewer_slots(tmp_path: Path) -> None:
    """Somebody has to serve, with less at once."""
    with Running(tmp_path, SLUICE_WORKERS="1", SLUICE_MAX_STREAMS="40") as running:
        running.ready()
        for deaths in (1, 2, 3):
            kill(running, 0, deaths)
        wait_until(lambda: worker(running, 0)["state"] == "ready", "up again")
        assert running.logged("fewer_slots")[0]["slots"] == 20
        assert running.status()["reductions"] == ["worker-0 has 20 slots"]
        environment = Path(f"/proc/{worker(running, 0)['pid']}/environ")
        assert "SLUICE_MAX_STREAMS=20\0" in environment.read_text()


def kill(running: Running, index: int, deaths: int) -> None:
    """Kill a worker once it is ready, and wait until that has been seen."""
    wait_until(lambda: worker(running, index)["state"] == "ready", f"ready, death {deaths}")
    os.kill(worker(running, index)["pid"], signal.SIGKILL)
    wait_until(lambda: died(running) >= deaths, f"death {deaths}")


def worker(running: Running, index: int) -> dict[str, Any]:
    state: dict[str, Any] = running.status()["workers"][index]
    return state


def died(running: Running) -> int:
    """Deaths so far: those that are followed by another life, and the last one."""
    return len(running.logged("died")) + len(running.logged("fewer_workers"))
