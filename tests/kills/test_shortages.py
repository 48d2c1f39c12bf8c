"""The kill table's rows of what runs out, and of a clock that jumps."""

from __future__ import annotations

import contextlib
import resource
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import Running
from tests.appliance.test_run import appliance
from tests.kills import report
from tests.kills.stream_clients import COMPLETE, SHORT, StreamClients
from tests.kills.test_kills import all_counted, workers

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kills, pytest.mark.timeout(150)]
DESCRIPTORS = 256
CLIENTS = 400
LIMITED_RUN = f"""
import resource, runpy, sys
resource.setrlimit(resource.RLIMIT_NOFILE, ({DESCRIPTORS}, {DESCRIPTORS}))
sys.argv[1:] = ["run"]
runpy.run_module("proxy", run_name="__main__")
"""
SIZE = 20
LARGE_REQUESTS = 16
BODY_BYTES = 8 * 1024 * 1024
CLOCK = Path(__file__).with_name("jumping_clock.c")
LIMITED = (
    '[{"name":"team","key":"sk-team","requests_per_minute":600,"max_streams":50,'
    '"tokens_per_minute":1000000}]'
)


def refused(saw: Counter[str]) -> Counter[str]:
    """What is short is a refusal, and no fault of anybody's."""
    return +Counter({"complete": saw[COMPLETE], "shed": saw["503"], "failed": saw["502"]})


def nobody_died(running: Running) -> bool:
    """Whether every worker is the one that was started."""
    return all(worker["restarts"] == 0 for worker in running.status()["workers"])


def no_upstream_is_blamed(running: Running) -> bool:
    """Whether all upstreams are taken for healthy."""
    return all(
        seen["failures_in_a_row"] == 0 and seen["states"].keys() == {"up"}
        for seen in running.status()["upstreams"].values()
    )


def test_no_descriptors(tmp_path: Path) -> None:
    """Who cannot be served is told 503, and streams that run notice nothing."""
    settings = {
        "SLUICE_WORKERS": "2",
        "SLUICE_UPSTREAM_URL": "",
        "SLUICE_QUEUE_TIMEOUT_SECONDS": "1",
    }
    with Running(tmp_path, "-c", LIMITED_RUN, **settings) as running:
        running.ready()
        saw = StreamClients(running.port, CLIENTS).wait()
        saw += StreamClients(running.port, 2, model=SHORT).wait()
        metrics = all_counted(running, saw)
        assert nobody_died(running)
        assert no_upstream_is_blamed(running)
    assert saw[COMPLETE] + saw["503"] == CLIENTS + 2
    assert metrics == refused(saw)
    report.write("no descriptors", saw, metrics)


@contextlib.contextmanager
def short_of_memory(pids: list[int], spare: int) -> Iterator[None]:
    """The processes' address space may grow by so many bytes and no more."""
    limits = {pid: resource.prlimit(pid, resource.RLIMIT_AS) for pid in pids}
    for pid in pids:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[0])
        limit = pages * resource.getpagesize() + spare
        resource.prlimit(pid, resource.RLIMIT_AS, (limit, limits[pid][1]))
    yield
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            resource.prlimit(pid, resource.RLIMIT_AS, limits[pid])


def test_out_of_memory(tmp_path: Path) -> None:
    """Requests that no memory is left for are told 503; streams that run end well."""
    with appliance(tmp_path) as running:
        running.ready()
        streams = StreamClients(running.port, 10)
        time.sleep(1.0)
        with short_of_memory(workers(running), 4 * 1024 * 1024):
            saw = StreamClients(
                running.port, LARGE_REQUESTS, model=SHORT, padding=BODY_BYTES
            ).wait()
        assert streams.wait() == {COMPLETE: 10}
        saw += streams.seen
        saw += StreamClients(running.port, 2, model=SHORT).wait()
        metrics = all_counted(running, saw)
        assert nobody_died(running)
        assert no_upstream_is_blamed(running)
    assert saw[COMPLETE] + saw["503"] + saw["502"] == LARGE_REQUESTS + 12
    assert metrics == refused(saw)
    report.write("out of memory", saw, metrics)


@pytest.mark.parametrize("jump", [3600, -3600])
def test_the_clock_jumps(tmp_path: Path, jump: int) -> None:
    """Streams, their timeouts and a key's limits go by the time that passes, not by the date."""
    library, offset = tmp_path / "clock.so", tmp_path / "offset"
    build = ["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(CLOCK)]
    subprocess.run(build, check=True)
    offset.write_bytes((0).to_bytes(8, sys.byteorder, signed=True))
    environment = {
        "LD_PRELOAD": str(library),
        "CLOCK_OFFSET_FILE": str(offset),
        "SLUICE_KEYS": LIMITED,
    }
    with appliance(tmp_path, **environment) as running:
        running.ready()
        clients = StreamClients(running.port, SIZE, key="sk-team")
        time.sleep(1.2)
        with offset.open("r+b") as file:
            file.write(jump.to_bytes(8, sys.byteorder, signed=True))
        saw = clients.wait()
        saw += StreamClients(running.port, SIZE, model=SHORT, key="sk-team").wait()
        metrics = all_counted(running, saw)
        newest = datetime.fromisoformat(running.logged("request")[-1]["timestamp"])
        assert nobody_died(running)
    ahead = (newest - datetime.now(UTC)).total_seconds()
    assert abs(ahead - jump) < 300, "the clock did not jump"
    assert saw == {COMPLETE: 2 * SIZE}
    assert metrics == {"complete": 2 * SIZE}
    report.write(f"the clock ({jump:+d} s)", saw, metrics)
