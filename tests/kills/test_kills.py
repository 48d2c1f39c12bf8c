"""The kill table: what clients see and what is counted when a part dies in the midst of streams."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import alive, children_of, wait_until
from tests.appliance.test_run import appliance
from tests.kills import report
from tests.kills.stream_clients import (
    COMPLETE,
    CUT,
    SHORT,
    TOLD,
    UNANSWERED,
    StreamClients,
    counted,
    in_flight,
)
from tests.meter.test_series_file import small_disk

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.appliance.running import Running

SIZE = 20
KILLS = pytest.mark.kills


def workers(running: Running) -> list[int]:
    """The workers' process ids."""
    return [worker["pid"] for worker in running.status()["workers"]]


def kill_one(running: Running) -> None:
    """The first worker."""
    os.kill(workers(running)[0], signal.SIGKILL)


def kill_all(running: Running) -> None:
    """Every worker."""
    for pid in workers(running):
        os.kill(pid, signal.SIGKILL)


def kill_nginx(running: Running) -> None:
    """Nginx's master; its processes go with it."""
    os.kill(running.status()["nginx"]["pid"], signal.SIGKILL)


def kill_nginx_process(running: Running) -> None:
    """Nginx's process that has the connections."""
    os.kill(children_of(running.status()["nginx"]["pid"])[0], signal.SIGKILL)


def freeze_one(running: Running) -> None:
    """The first worker stands still."""
    os.kill(workers(running)[0], signal.SIGSTOP)


def by_worker(saw: Counter[str]) -> Counter[str]:
    """A worker that dies takes its requests along, whether they had begun or not."""
    lost = saw[CUT] + saw["502"] + saw["503"] + saw["504"]
    return +Counter({"complete": saw[COMPLETE], "failed": lost})


def by_nginx(saw: Counter[str]) -> Counter[str]:
    """To a worker nginx is the client, and that has left."""
    return +Counter({"complete": saw[COMPLETE], "client_left": saw[CUT] + saw[UNANSWERED]})


Kill = tuple["Callable[[Running], None]", "Callable[[Counter[str]], Counter[str]]"]
ROWS: dict[str, Kill] = {
    "a worker": (kill_one, by_worker),
    "all workers": (kill_all, by_worker),
    "nginx (master)": (kill_nginx, by_nginx),
    "nginx (process)": (kill_nginx_process, by_nginx),
    "a frozen worker": (freeze_one, by_worker),
}


def all_counted(running: Running, saw: Counter[str]) -> Counter[str]:
    """What `/metrics` says once it has them all."""
    total = saw.total()
    wait_until(lambda: counted(running).total() >= total, f"all counted: {saw}")
    assert in_flight(running) == 0
    return counted(running)


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=() if row == "a worker" else KILLS) for row in ROWS]
)
def test_every_request_is_counted_once(
    row: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Each outcome in the metrics is what so many clients saw; then it serves again."""
    kill, outcomes = ROWS[row]
    with appliance(tmp_path) as running:
        running.ready()
        clients = StreamClients(running.port, SIZE)
        time.sleep(1.2)
        kill(running)
        saw = clients.wait()
        metrics = all_counted(running, saw)
        wait_until(lambda: running.get("/readyz", admin=True)[0] == 200, "ready again")
        assert StreamClients(running.port, 2, model=SHORT).wait() == {COMPLETE: 2}
    assert saw.total() == SIZE
    assert metrics == outcomes(saw)
    if "kills" in (request.config.option.markexpr or ""):
        report.write(row, saw, metrics)


@KILLS
@pytest.mark.timeout(120)
def test_the_supervisor(tmp_path: Path) -> None:
    """All that it has started goes with it, no stream looks whole, and it can be started again."""
    with appliance(tmp_path) as running:
        started = children_of(running.ready().process.pid)
        clients = StreamClients(running.port, SIZE)
        time.sleep(1.2)
        running.process.kill()
        saw = clients.wait()
        wait_until(lambda: not any(map(alive, started)), "the end of all that it had started")
    assert saw.keys() <= {CUT, TOLD, UNANSWERED}
    ports = {
        "SLUICE_LISTEN_PORT": str(running.port),
        "SLUICE_ADMIN_PORT": str(running.admin_port),
    }
    (tmp_path / "again").mkdir()
    with appliance(tmp_path / "again", **ports) as again:
        again.port, again.admin_port = running.port, running.admin_port
        again.ready()
        assert StreamClients(again.port, 2, model=SHORT).wait() == {COMPLETE: 2}
    report.write("the supervisor", saw, "nothing: the metrics go with it")


@KILLS
@pytest.mark.timeout(120)
def test_a_full_disk_kills_nobody(tmp_path: Path) -> None:
    """With no byte left in the run directory streams end well, nobody is restarted."""
    with small_disk(tmp_path / "disk", "8m") as disk:
        disk.chmod(0o755)
        with appliance(tmp_path, TMPDIR=str(disk)) as running:
            running.ready()
            with (disk / "filler").open("wb") as filler:
                free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
                os.posix_fallocate(filler.fileno(), 0, free)
            saw = StreamClients(running.port, SIZE).wait()
            restarts = [worker["restarts"] for worker in running.status()["workers"]]
            (disk / "filler").unlink()
            saw += StreamClients(running.port, 2, model=SHORT).wait()
            metrics = all_counted(running, saw)
    assert saw == {COMPLETE: SIZE + 2}
    assert metrics == {"complete": SIZE + 2}
    assert restarts == [0, 0]
    report.write("a full disk", saw, metrics)
