"""Parts that stand still for ten seconds and go on (SIGSTOP, SIGCONT), with and without SIGTERM."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import alive, children_of, wait_until
from tests.appliance.test_run import appliance
from tests.kills import report
from tests.kills.stream_clients import COMPLETE, CUT, SHORT, TOLD, StreamClients
from tests.kills.test_kills import all_counted, by_worker

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.appliance.running import Running

pytestmark = [pytest.mark.kills, pytest.mark.timeout(120)]
SIZE = 20
SECONDS = 10.0
KEYS = '[{"name":"team","key":"sk-team","requests_per_minute":6000,"max_streams":100}]'


def all_of_nginx(running: Running) -> list[int]:
    master = running.status()["nginx"]["pid"]
    return [master, *children_of(master)]


PARTS: dict[str, Callable[[Running], list[int]]] = {
    "the supervisor": lambda running: [running.process.pid],
    "nginx": all_of_nginx,
    "the store": lambda running: [running.status()["store"]["pid"]],
}


def pause(pids: list[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)


def go_on(pids: list[int]) -> None:
    for pid in filter(alive, pids):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("part", PARTS)
def test_a_part_stands_still_for_a_while(part: str, tmp_path: Path) -> None:
    """No stream is lost, each is counted, and afterwards everything serves as before."""
    with appliance(tmp_path, SLUICE_KEYS=KEYS) as running:
        pids = PARTS[part](running.ready())
        clients = StreamClients(running.port, SIZE, key="sk-team")
        time.sleep(1.2)
        pause(pids)
        time.sleep(SECONDS)
        go_on(pids)
        saw = clients.wait()
        metrics = all_counted(running, saw)
        wait_until(lambda: running.status()["state"] == "ready", "all are ready")
        assert StreamClients(running.port, 2, model=SHORT, key="sk-team").wait() == {COMPLETE: 2}
    assert saw == {COMPLETE: SIZE}
    assert metrics == {"complete": SIZE}
    report.write(f"nobody: {part} stands still for {SECONDS:.0f} s", saw, metrics)


@pytest.mark.parametrize("part", [*PARTS, "a worker"])
def test_a_part_stands_still_when_all_shall_stop(part: str, tmp_path: Path) -> None:
    """SIGTERM meanwhile: streams end whole, or are cut visibly with a frozen worker; all ends."""
    with appliance(tmp_path, SLUICE_KEYS=KEYS) as running:
        started = children_of(running.ready().process.pid)
        if part == "a worker":
            pids = [running.status()["workers"][0]["pid"]]
        else:
            pids = PARTS[part](running)
        clients = StreamClients(running.port, SIZE, key="sk-team")
        time.sleep(1.2)
        pause(pids)
        running.signal(signal.SIGTERM)
        time.sleep(SECONDS)
        go_on(pids)
        saw = clients.wait()
        assert running.ended() == 0
        wait_until(lambda: not any(map(alive, started)), "the end of all that it had started")
    assert saw.total() == SIZE
    if part == "a worker":
        assert saw.keys() <= {COMPLETE, CUT, TOLD, "502", "503"}
        assert by_worker(saw) == Counter(complete=saw[COMPLETE], failed=SIZE - saw[COMPLETE])
        assert saw[COMPLETE] >= SIZE // 4, "its sibling's streams end well"
    else:
        assert saw == {COMPLETE: SIZE}
