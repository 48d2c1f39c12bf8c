"""A worker that is killed holds nothing of a key for longer than its lease."""

from __future__ import annotations

import json
import os
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from proxy.state.limits import LEASE_SECONDS
from tests.appliance.running import alive, wait_until
from tests.appliance.test_run import appliance
from tests.kills.stream_clients import CHAT, counted, in_flight

if TYPE_CHECKING:
    from pathlib import Path

    from tests.appliance.running import Running

KEY = {"name": "team", "key": "sk-team", "max_streams": 1}
SPARE_SECONDS = 10.0
"""For a machine with others at work, beyond the lease's time."""


def ask(running: Running, model: str) -> Any:
    """A stream of the key, as a context."""
    return httpx.stream(
        "POST",
        f"http://127.0.0.1:{running.port}{CHAT}",
        headers={"Authorization": "Bearer sk-team", "Sluice-Resumable": "true"},
        json={"model": model, "stream": True, "messages": []},
        timeout=30,
    )


@pytest.mark.kills
@pytest.mark.timeout(120)
def test_a_killed_workers_leases_end(tmp_path: Path) -> None:
    """The key's only stream dies with its worker: the next is let in within the lease's time.

    Whoever asks meanwhile is told to wait, and each request is counted once.
    """
    settings = {
        "SLUICE_KEYS": json.dumps([KEY]),
        "SLUICE_QUEUE_TIMEOUT_SECONDS": "1",
    }
    with appliance(tmp_path, **settings) as running:
        running.ready()
        with ask(running, "demo;ttft=0;rate=20;tokens=9999") as answer:
            assert answer.status_code == 200
            pieces = answer.iter_raw()
            seen = next(pieces)
            pids = [worker["pid"] for worker in running.status()["workers"]]
            for pid in pids:
                os.kill(pid, signal.SIGKILL)
            killed_at = time.monotonic()
            with pytest.raises(httpx.TransportError):
                seen += b"".join(pieces)
        assert b"[DONE]" not in seen
        # Else they might take in one more, and die with it.
        wait_until(lambda: not any(map(alive, pids)), "the end of both")
        statuses: list[int] = []
        while statuses[-1:] != [200]:
            assert time.monotonic() - killed_at < LEASE_SECONDS + SPARE_SECONDS, statuses
            with ask(running, "demo-fast;tokens=3") as again:
                again.read()
                statuses.append(again.status_code)
        assert set(statuses) <= {429, 503, 200}
        total = 1 + len(statuses)
        wait_until(lambda: counted(running).total() == total, f"{statuses} counted")
        metrics = counted(running)
        assert in_flight(running) == 0
    assert metrics == Counter(
        failed=1, shed=statuses.count(503), limited=statuses.count(429), complete=1
    )
