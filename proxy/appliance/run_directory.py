"""The run directory: private, created at each start and removed at its end."""

from __future__ import annotations

import contextlib
import fcntl
import grp
import os
import pwd
import shutil
import stat
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A unix socket's address holds 107 characters and a null byte (unix(7)); the longest name here is
# `worker-255.sock`.
_LONGEST_PATH = 107 - len("/worker-255.sock")
_PREFIX = "sluice-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """The paths of sockets, nginx's files and the workers' metrics."""

    path: Path
    nginx_user: str | None
    """`user group` of nginx's processes if they run as another user; else None."""

    @property
    def nginx_conf(self) -> Path:
        """The main configuration file of nginx."""
        return self.path / "nginx" / "nginx.conf"

    @property
    def lame_duck(self) -> Path:
        """A file whose existence makes nginx report not ready."""
        return self.path / "lame-duck"

    @property
    def worker_away(self) -> Path:
        """Is there while a worker's socket is not where nginx looks for it."""
        return self.path / "worker-away"

    @property
    def metrics(self) -> Path:
        """The `PROMETHEUS_MULTIPROC_DIR` of this run."""
        return self.path / "metrics"

    @property
    def store_socket(self) -> Path:
        """The embedded store's socket."""
        return self.path / "store.sock"

    def worker_socket(self, index: int) -> Path:
        """Return the worker's socket."""
        return self.path / f"worker-{index}.sock"


@contextmanager
def run_directory() -> Iterator[RunDirectory]:
    """Create the directory under `$TMPDIR` or `/tmp` with mode 0700, and remove it at the end.

    Raises `OSError` if it cannot be written.
    """
    parent = _parent()
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    unnamed = path / "lock-in-the-making"
    with unnamed.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Renamed after locking, so that a lock file with this name is locked while its owner lives.
        unnamed.rename(path / _LOCK)
        yield from _filled(path)


def _filled(path: Path) -> Iterator[RunDirectory]:
    try:
        (path / "temp").mkdir()
        (path / "metrics").mkdir()
        yield RunDirectory(path, _give_to_nobody(path))
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _sweep(parent: Path) -> None:
    """Remove the directories of killed supervisors: their lock is free."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        # Skip directories of other users, and those just removed.
        with contextlib.suppress(OSError), lock.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _parent() -> Path:
    """Return `$TMPDIR`, or `/tmp` if socket paths below it would be too long.

    Also `/tmp` if this is root and user nobody, whom nginx runs as, could not reach `$TMPDIR`.
    """
    given = Path(tempfile.gettempdir())
    fits = len(str(given)) + len("/sluice-12345678") <= _LONGEST_PATH
    if fits and (os.geteuid() != 0 or _all_may_pass(given)):
        return given
    return Path("/tmp")  # noqa: S108 mkdtemp makes it private


def _all_may_pass(directory: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in (directory, *directory.parents))


def _give_to_nobody(path: Path) -> str | None:
    """As root, give the directory to user nobody, as whom nginx then runs.

    It stays private: root can access it anyway. Without the capabilities, as in some containers,
    nginx runs as root.
    """
    if os.geteuid() != 0:
        return None
    with contextlib.suppress(KeyError, OSError):
        nobody = pwd.getpwnam("nobody")
        group = grp.getgrgid(nobody.pw_gid).gr_name
        if _may_change_user():
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
            return f"{nobody.pw_name} {group}"
    return None


def _may_change_user() -> bool:
    """Whether this process has CAP_SETGID and CAP_SETUID (capabilities(7)), which nginx needs."""
    wanted = 1 << 6 | 1 << 7
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) & wanted == wanted
    return False
