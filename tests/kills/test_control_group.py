"""The kill table's row of a container whose memory is too small for what it was told to hold.

The kernel's own choice of a victim, in a control group of its own: as root, where groups of the
memory controller can be made (cgroups(7); both versions are known).
"""

from __future__ import annotations

import os
import time
from collections import Counter
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.appliance.running import Running, wait_until
from tests.integration.faults import gateways
from tests.kills import report
from tests.kills.stream_clients import COMPLETE, CUT, SHORT, StreamClients
from tests.kills.test_kills import all_counted

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.kills, pytest.mark.timeout(150)]
MEBIBYTE = 1024 * 1024
GROUP_BYTES = 320 * MEBIBYTE
LARGE_REQUESTS, BODY_BYTES = 16, 24 * MEBIBYTE
HELD = "demo;ttft=6;tokens=2"
"""The upstream answers late: a body is held until then, since it may have to be sent again."""
LIMITS = ("memory.max", "memory.limit_in_bytes")
ROOTS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
IN_GROUP = """
import os, pathlib, runpy, sys
pathlib.Path(sys.argv[1], "cgroup.procs").write_text(str(os.getpid()))
sys.argv[1:] = ["run"]
runpy.run_module("proxy", run_name="__main__")
"""


@contextmanager
def memory_group() -> Iterator[Path]:
    """A control group with a limit of memory; skips where none can be made."""
    for root in ROOTS:
        group = root / f"sluice-test-{os.getpid()}"
        try:
            group.mkdir()
        except OSError:
            continue
        limit = next((group / name for name in LIMITS if (group / name).exists()), None)
        try:
            if limit is not None:
                limit.write_text(str(GROUP_BYTES))
                yield group
                return
        finally:
            wait_until(partial(_gone, group), "the group's end")
    pytest.skip("no control group of the memory controller can be made here")


def _gone(group: Path) -> bool:
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def test_the_kernel_kills_for_want_of_memory(tmp_path: Path) -> None:
    """Whom it kills loses its requests, and each is counted; it serves again with fewer workers."""
    settings = {
        "SLUICE_WORKERS": "2",
        "SLUICE_BODY_MEMORY_BYTES": str(1024 * MEBIBYTE),
    }
    with memory_group() as group, gateways.upstream() as upstream:
        settings["SLUICE_UPSTREAM_URL"] = f"{upstream.url}/v1"
        with Running(tmp_path, "-c", IN_GROUP, str(group), **settings) as running:
            running.ready()
            streams = StreamClients(running.port, 10)
            time.sleep(1.0)
            saw = StreamClients(running.port, LARGE_REQUESTS, model=HELD, padding=BODY_BYTES).wait()
            saw += streams.wait()
            metrics = all_counted(running, saw)
            restarts = sum(worker["restarts"] for worker in running.status()["workers"])
            wait_until(lambda: running.get("/readyz", admin=True)[0] == 200, "ready again")
            assert StreamClients(running.port, 2, model=SHORT).wait() == {COMPLETE: 2}
    assert saw.total() == LARGE_REQUESTS + 10
    assert restarts > 0, "nobody was killed"
    # Who waits for a worker that is not started again is told to come again.
    lost = saw[CUT] + saw["502"]
    assert metrics == +Counter({"complete": saw[COMPLETE], "failed": lost, "shed": saw["503"]})
    report.write("out of memory (the kernel kills)", saw, metrics)
