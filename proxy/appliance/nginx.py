"""nginx as a child: how it is called, and whether it accepts its configuration."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from proxy.appliance.child import ProcessSpec
from proxy.appliance.nginx_lines import error_fields, text_of
from proxy.appliance.nginx_log import NginxLog

if TYPE_CHECKING:
    from proxy.appliance.directory import RunDirectory
    from proxy.appliance.nginx_program import NginxProgram

STOP_ACCEPTING = signal.SIGQUIT
"""Closes the listening sockets, finishes what runs, then ends (nginx's "graceful shutdown")."""
STOP = signal.SIGINT
"""Cuts what runs (nginx's "fast shutdown"); SIGTERM would be the same, but anybody sends that."""
RELOAD = signal.SIGHUP

_GIVING_MEMORY_BACK = {
    "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1048576:glibc.malloc.tcache_count=0",
}
"""A burst's memory goes back to the system: by itself glibc keeps more the more was freed, and a
freed piece in its cache holds all below it (glibc manual, Memory Allocation Tunables)."""


def process_spec(
    program: NginxProgram, run: RunDirectory, log: NginxLog | None = None
) -> ProcessSpec:
    """How nginx is started in the foreground; `log` takes its lines.

    It dies of SIGINT, not SIGKILL, when the supervisor is gone: only then its master takes its
    own processes along.
    """
    log = log or NginxLog()
    return ProcessSpec(
        "nginx",
        _command(program, run),
        environment=_environment(),
        umask=0o022 if run.nginx_user else 0o077,
        death_signal=STOP,
        deaf=True,
        out=log.access,
        err=log.errors,
        masked=_masked,
    )


def become_lame_duck(program: NginxProgram, run: RunDirectory) -> str | None:
    """Have nginx say that it is not ready, and let each answer be the last of its connection.

    The second takes a `RELOAD`; gives what stands against one, None if nothing. Raises `OSError` or
    `subprocess.SubprocessError`.
    """
    run.lame_duck.touch()
    folder = run.nginx_conf.parent
    shutil.copyfile(folder / "later" / "lame-duck.conf", folder / "snippets" / "lame-duck.conf")
    return complaint(program, run)


def complaint(program: NginxProgram, run: RunDirectory) -> str | None:
    """What nginx has against its configuration or the certificate; None if nothing.

    Raises `OSError` or `subprocess.SubprocessError` if it cannot be asked.
    """
    done = subprocess.run(  # noqa: S603 the operator's own choice of nginx
        [*_command(program, run), "-t", "-q"],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=_environment(),
    )
    return None if done.returncode == 0 else done.stderr.strip()


def _masked(line: bytes) -> bytes:
    return f"{error_fields(text_of(line).rstrip())[1]['message']}\n".encode()


def _command(program: NginxProgram, run: RunDirectory) -> list[str]:
    # -e: what is said before the configuration is read goes to stderr as well.
    return [program.path, "-e", "stderr", "-p", f"{run.path}/", "-c", str(run.nginx_conf)]


def _environment() -> dict[str, str]:
    # Secrets are no business of nginx's; TZ is, for its times.
    kept = {name: os.environ[name] for name in ("TZ", "LANG", "PATH") if name in os.environ}
    return kept | _GIVING_MEMORY_BACK
