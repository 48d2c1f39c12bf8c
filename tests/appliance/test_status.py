from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from proxy.appliance.monitor import ProcessState
from proxy.appliance.status import ApplianceStatus, merged
from proxy.version import VERSION

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.appliance.processes import Processes


SEEN = {
    "name": "a",
    "state": "healthy",
    "streams": 2,
    "failures_in_a_row": 0,
    "back_in_seconds": 0.0,
    "benched_for_seconds": 0.0,
}


class Kept:
    """What the status reads of a monitor."""

    def __init__(
        self, name: str, state: ProcessState = ProcessState.READY, restarts: int = 0
    ) -> None:
        self.name, self.state, self.restarts, self.pid = name, state, restarts, 17
        self.given_up = False

    def status(self) -> dict[str, object]:
        """As `ProcessMonitor.status`."""
        return {"pid": self.pid, "state": self.state.value, "restarts": self.restarts}


class Staff:
    """The part of `Processes` that the status reads."""

    def __init__(self, *, serving: bool = True) -> None:
        self.serving = serving
        self.nginx = Kept("nginx")
        self.demo = None
        self.store = Kept("store", ProcessState.WAITING, 2)
        self.reductions = ["worker-1 is not started again"]
        self.all = (Kept("worker-0", ProcessState.WAITING, 4), self.nginx)

    async def worker_reports(self) -> list[dict[str, Any]]:
        """Two workers, one of which does not answer."""
        return [
            {"index": 0, "streams": 2, "waiting": 1, "upstreams": [SEEN], "state": "ready"},
            {"index": 1, "state": "waiting"},
        ]


def appliance_status(tmp_path: Path, **more: Any) -> ApplianceStatus:
    """A status of made-up processes."""
    return ApplianceStatus(cast("Processes", Staff(**more)), tmp_path, "1.26.3")


@pytest.mark.parametrize(
    ("came_up", "draining", "serving", "reason"),
    [
        (False, False, False, "starting"),
        (True, False, True, None),
        (True, False, False, "not serving"),
        (True, True, True, "draining"),
        (False, True, False, "draining"),
    ],
)
def test_ready_is_up_serving_and_not_told_to_stop(
    tmp_path: Path, came_up: bool, draining: bool, serving: bool, reason: str | None
) -> None:
    """Everything came up once, somebody serves, and nobody said stop."""
    shown = appliance_status(tmp_path, serving=serving)
    shown.came_up, shown.draining = came_up, draining
    assert shown.why_not_ready() == reason


async def test_the_workers_are_summed(tmp_path: Path) -> None:
    """Streams and waiting requests are those of all workers; a silent one counts for nothing."""
    status = await appliance_status(tmp_path).status()
    assert (status["streams"], status["waiting"]) == (2, 1)
    assert status["nginx"] == {"version": "1.26.3", "pid": 17, "state": "ready", "restarts": 0}
    assert status["demo"] is None
    assert status["store"] == {"pid": 17, "state": "waiting", "restarts": 2}


def test_each_worker_s_view_of_an_upstream_counts() -> None:
    """Streams add up; verdicts are counted, for one worker may have met what others did not."""
    out = {**SEEN, "state": "out", "streams": 1, "failures_in_a_row": 5, "back_in_seconds": 7.5}
    out["last_failure"] = "answered 500"
    assert merged([[SEEN], [out], []]) == {
        "a": {
            "states": {"healthy": 1, "out": 1},
            "streams": 3,
            "failures_in_a_row": 5,
            "back_in_seconds": 7.5,
            "benched_for_seconds": 0.0,
            "last_failure": "answered 500",
        }
    }


async def test_the_supervisor_counts_deaths(tmp_path: Path) -> None:
    """Which process is up and how often it was restarted stands beside the workers' metrics."""
    text = (await appliance_status(tmp_path).metrics()).decode()
    assert 'sluice_process_up{process="worker-0"} 0' in text
    assert 'sluice_process_restarts_total{process="worker-0"} 4' in text
    assert 'sluice_process_up{process="nginx"} 1' in text


async def test_the_scrape_says_what_runs_and_whether_it_is_ending(tmp_path: Path) -> None:
    """The version stands in `/status`, too; a drain is no outage, and alerts can tell."""
    shown = appliance_status(tmp_path)
    assert (await shown.status())["version"] == VERSION
    text = (await shown.metrics()).decode()
    assert f'sluice_build_info{{version="{VERSION}",python="3.' in text
    assert ',nginx="1.26.3"} 1\n' in text
    assert "\nsluice_draining 0\n" in text
    shown.draining = True
    assert b"\nsluice_draining 1\n" in await shown.metrics()


async def test_without_tls_no_certificate_expires(tmp_path: Path) -> None:
    """No sample, rather than one that looks like 1970."""
    text = (await appliance_status(tmp_path).metrics()).decode()
    assert "\nsluice_tls_certificate_expiry_timestamp_seconds" not in text
