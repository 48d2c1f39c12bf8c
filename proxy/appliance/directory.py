"""The run directory: private, one for each start, gone afterwards."""

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

# A unix socket's address holds 107 characters and a zero (unix(7)); the longest name that we
# give one is `worker-255.sock` with its temporary ending.
_LONGEST_PATH = 107 - len("/worker-255.sock")
_PREFIX = "sluice-"
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class RunDirectory:
    """Where sockets, nginx's files and the workers' metrics lie."""

    path: Path
    nginx_user: str | None
    """`user group` for nginx's processes where these are not ours; else None."""

    @property
    def nginx_conf(self) -> Path:
        """The configuration that nginx is started with."""
        return self.path / "nginx" / "nginx.conf"

    @property
    def lame_duck(self) -> Path:
        """Is there once nginx shall say that it is not ready."""
        return self.path / "lame-duck"

    @property
    def metrics(self) -> Path:
        """The `PROMETHEUS_MULTIPROC_DIR` of this start."""
        return self.path / "metrics"

    @property
    def store_socket(self) -> Path:
        """Where the embedded store listens."""
        return self.path / "store.sock"

    def worker_socket(self, index: int) -> Path:
        """Where the worker listens."""
        return self.path / f"worker-{index}.sock"


@contextmanager
def run_directory() -> Iterator[RunDirectory]:
    """Make the directory under `$TMPDIR` or `/tmp` with mode 0700, and remove it at the end.

    Raises `OSError` where nothing can be written.
    """
    parent = _parent()
    _sweep(parent)
    path = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    unnamed = path / "lock-in-the-making"
    with unnamed.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # Only now: a lock that can be found is one that is held, unless its holder is dead.
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
    """Remove what supervisors left that were killed before they could: nobody holds its lock."""
    for lock in parent.glob(f"{_PREFIX}*/{_LOCK}"):
        # Somebody else's, or just gone: neither is ours to clear.
        with contextlib.suppress(OSError), lock.open("r+") as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)


def _parent() -> Path:
    """`$TMPDIR`, or `/tmp` if sockets below it would have addresses that are too long.

    Or if root's nginx could not get there: its processes are nobody, who may not pass through a
    private directory.
    """
    given = Path(tempfile.gettempdir())
    fits = len(str(given)) + len("/sluice-12345678") <= _LONGEST_PATH
    if fits and (os.geteuid() != 0 or _all_may_pass(given)):
        return given
    return Path("/tmp")  # noqa: S108 mkdtemp makes it private


def _all_may_pass(directory: Path) -> bool:
    return all(one.stat().st_mode & stat.S_IXOTH for one in (directory, *directory.parents))


def _give_to_nobody(path: Path) -> str | None:
    """As root, let nginx's processes be nobody: they read what strangers send.

    The directory stays private: it becomes nobody's own, and root gets in anyway. Without the
    right to do so (a container without capabilities) nginx stays the present user.
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
    """Whether root here has CAP_SETGID and CAP_SETUID (capabilities(7)), as nginx will need."""
    wanted = 1 << 6 | 1 << 7
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return int(line.split()[1], 16) & wanted == wanted
    return False
