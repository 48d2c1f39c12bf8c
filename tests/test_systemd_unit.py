from __future__ import annotations

import configparser
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from proxy.appliance.monitor import RestartPolicy
from proxy.settings import Settings

UNIT = Path(__file__).parents[1] / "deploy" / "sluice.service"


def service() -> configparser.SectionProxy:
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment,method-assign] # systemd's names have cases
    parsed.read_string(UNIT.read_text(encoding="utf-8"))
    return parsed["Service"]


def test_systemd_waits_for_the_whole_drain() -> None:
    """Killed before it, the service would cut streams that still have their time."""
    policy = RestartPolicy()
    after = policy.final_events + policy.flush + policy.stop
    stop = float(service()["TimeoutStopSec"])
    defaults = {name: field.default for name, field in Settings.model_fields.items()}
    assert stop >= defaults["lame_duck_seconds"] + defaults["drain_seconds"] + after


def test_only_the_supervisor_is_told_to_stop() -> None:
    """It ends all the others in order; `mixed` also lets none of them stay."""
    assert service()["KillMode"] == "mixed"
    assert service()["ExecStart"].endswith("/sluice run")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="there is no systemd here")
def test_systemd_understands_every_line(tmp_path: Path) -> None:
    """Its own check has nothing to say."""
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    unit.write_text(text.replace(service()["ExecStart"], f"{sys.executable} run"), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in done.stderr.splitlines() if UNIT.name in line]
    assert ours == []
