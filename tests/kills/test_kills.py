"""The kill table: what clients see and what is counted when a part dies in the midst of streams."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import children_of, wait_until
from tests.appliance.test_run import appliance
from tests.kills.crowd import Crowd, counted
from tests.meter.test_series_file import small_disk

if TYPE_CHECKING:
    from collections import Counter

    from tests.appliance.running import Running

SIZE = 20
DOCS = Path(__file__).parents[2] / "docs" / "kills.md"


def workers(running: Running) -> list[int]:
    """The workers' process ids."""
    return [one["pid"] for one in running.status()["workers"]]


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


ROWS = {
    "a worker": kill_one,
    "all workers": kill_all,
    "nginx (master)": kill_nginx,
    "nginx (process)": kill_nginx_process,
    "a frozen worker": freeze_one,
}
KILLS = pytest.mark.kills


def record(row: str, saw: Counter[str], said: Counter[str]) -> None:
    """Write the row's figures into the docs, in place of those of the last run."""
    head = (
        "# What is seen and counted when a part dies\n\n"
        f"`make test-kills` writes this: {SIZE} streams at once, two workers; the part dies after "
        "1.2 s.\n\n| what dies | clients saw | /metrics says |\n|---|---|---|\n"
    )
    rows = {}
    if DOCS.exists():
        lines = DOCS.read_text(encoding="utf-8").splitlines()
        rows = {line.split("|")[1].strip(): line for line in lines if line.startswith("| ")}
        rows.pop("what dies", None)
    words = [", ".join(f"{n} {what}" for what, n in sorted(one.items())) for one in (saw, said)]
    rows[row] = f"| {row} | {words[0]} | {words[1]} |"
    DOCS.parent.mkdir(exist_ok=True)
    DOCS.write_text(head + "\n".join(rows.values()) + "\n", encoding="utf-8")


@pytest.mark.timeout(120)
@pytest.mark.parametrize(
    "row", [pytest.param(row, marks=() if row == "a worker" else KILLS) for row in ROWS]
)
def test_every_request_is_counted_once(
    row: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The sum over `ended_by` is the number of requests, and what ended well is called so."""
    with appliance(tmp_path) as running:
        running.ready()
        crowd = Crowd(running.port, SIZE)
        time.sleep(1.2)
        ROWS[row](running)
        saw = crowd.wait()
        wait_until(lambda: counted(running).total() >= SIZE, f"all counted: {saw}")
        said = counted(running)
        wait_until(lambda: running.get("/readyz", admin=True)[0] == 200, "ready again")
    assert said.total() == saw.total() == SIZE
    assert said["complete"] == saw["complete"]
    if "kills" in (request.config.option.markexpr or ""):
        record(row, saw, said)


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
            saw = Crowd(running.port, SIZE).wait()
            restarts = [one["restarts"] for one in running.status()["workers"]]
            (disk / "filler").unlink()
            Crowd(running.port, 2).wait()
            wait_until(lambda: counted(running).total() >= SIZE, "counted once there is room")
            said = counted(running)
    assert saw == {"complete": SIZE}
    assert restarts == [0, 0]
    record("a full disk", saw, said)
