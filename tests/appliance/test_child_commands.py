from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from proxy.appliance import child_commands


def test_children_run_this_very_package(tmp_path: Path) -> None:
    """A folder called `proxy` in the present folder is not taken for Sluice."""
    trap = tmp_path / "proxy"
    trap.mkdir()
    (trap / "__main__.py").write_text("print('trapped')")
    command = child_commands.demo(8100)
    done = subprocess.run(
        [*command[: command.index("demo")], "demo", "--help"],
        cwd=tmp_path,
        env=child_commands.environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "trapped" not in done.stdout
    assert "--port" in done.stdout


def test_a_worker_knows_its_place() -> None:
    """Which one it is, of how many, where it listens, and that nginx is in front."""
    command = child_commands.worker(Path("/run/x/worker-1.sock"), 1, 4)
    assert command[0] == sys.executable
    assert command[command.index("--unix") + 1] == "/run/x/worker-1.sock"
    assert command[command.index("--index") + 1] == "1"
    assert command[command.index("--workers") + 1] == "4"
    assert "--behind-nginx" in command


def test_the_environment_is_the_supervisors_and_more() -> None:
    """Children see the same settings, and what the supervisor adds."""
    out = subprocess.run(
        [sys.executable, "-c", "import json, os; print(json.dumps(dict(os.environ)))"],
        env=child_commands.environment(SLUICE_UPSTREAM_URL="http://127.0.0.1:1/v1"),
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    environment = json.loads(out)
    assert environment["SLUICE_UPSTREAM_URL"] == "http://127.0.0.1:1/v1"
    assert "PATH" in environment
