"""Finding out whether a program is there, and which version of it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

from bench.contestants.contestant import BENCH, AbsentError, peers_directory

_VERSION = re.compile(r"\d+(?:\.\d+)+")


def this_tree() -> str:
    """Sluice itself, as it lies beside the benchmark.

    Raises AbsentError.
    """
    if not Path(BENCH.parent, "proxy", "__main__.py").exists():
        raise AbsentError("there is no sluice command")
    return "this tree"


def program(name: str) -> str:
    """The path of a system program; sbin is looked at too, which users lack in their PATH.

    Raises AbsentError.
    """
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/usr/local/sbin:/sbin")
    if path is None:
        raise AbsentError(f"{name} is not installed")
    return path


def program_version(name: str, flag: str = "-v") -> str:
    """The version that a system program says it has.

    Raises AbsentError.
    """
    completed = subprocess.run([program(name), flag], capture_output=True, text=True, check=False)
    match = _VERSION.search(completed.stdout + completed.stderr)
    if match is None:
        raise AbsentError(f"{name} {flag} says no version")
    return match.group()


def venv_program(peer: str, name: str) -> str:
    """A program in a peer's virtual environment.

    Raises AbsentError.
    """
    path = peers_directory() / peer / "venv" / "bin" / name
    if not path.exists():
        raise AbsentError("not installed: make bench-peers")
    return str(path)


def venv_version(peer: str, distribution: str) -> str:
    """The version of a distribution in a peer's virtual environment.

    Raises AbsentError.
    """
    pattern = f"venv/lib/python3*/site-packages/{distribution.replace('-', '_')}-*.dist-info"
    for directory in sorted((peers_directory() / peer).glob(pattern)):
        return directory.name.removesuffix(".dist-info").rpartition("-")[2]
    raise AbsentError(_why_not_installed(peer))


def node_package(peer: str, package: str) -> Path:
    """The directory of an npm package in a peer's prefix.

    Raises AbsentError.
    """
    path = peers_directory() / peer / "node_modules" / package
    if not (path / "package.json").exists():
        raise AbsentError(_why_not_installed(peer))
    return path


def node_version(peer: str, package: str) -> str:
    """The version of an npm package.

    Raises AbsentError.
    """
    about = (node_package(peer, package) / "package.json").read_text(encoding="utf-8")
    return str(json.loads(about)["version"])


def _why_not_installed(peer: str) -> str:
    log = peers_directory() / peer / "install.log"
    if not log.exists():
        return "not installed: make bench-peers"
    lines = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    return f"the installation failed: {lines[-1][:160] if lines else 'it said nothing'}"
