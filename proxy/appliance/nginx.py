"""Runs nginx as a child process, and tests its configuration."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

from proxy.appliance.child import ProcessSpec
from proxy.appliance.nginx_log import NginxLog
from proxy.appliance.nginx_log_parser import error_fields, text_of

if TYPE_CHECKING:
    from proxy.appliance.nginx_program import NginxProgram
    from proxy.appliance.run_directory import RunDirectory

STOP_ACCEPTING = signal.SIGQUIT
"""nginx's graceful shutdown: closes the listening sockets, finishes running requests, exits."""
STOP = signal.SIGINT
"""nginx's fast shutdown. SIGTERM does the same, but init systems send that to all processes."""
RELOAD = signal.SIGHUP

_GIVING_MEMORY_BACK = {
    "GLIBC_TUNABLES": "glibc.malloc.trim_threshold=1048576:glibc.malloc.tcache_count=0",
}
"""Returns memory to the system after a burst: glibc's trim threshold grows by default, and cached
freed chunks keep the heap from shrinking (glibc manual, Memory Allocation Tunables)."""


def process_spec(
    program: NginxProgram, run: RunDirectory, log: NginxLog | None = None
) -> ProcessSpec:
    """Return how to start nginx in the foreground; `log` receives its lines.

    When the supervisor dies nginx gets SIGINT, not SIGKILL, so that its master stops its workers.
    """
    log = log or NginxLog()
    return ProcessSpec(
        "nginx",
        _command(program, run),
        environment=_environment(),
        umask=0o022 if run.nginx_user else 0o077,
        death_signal=STOP,
        ignores_sigterm=True,
        out=log.access,
        err=log.errors,
        masked=_masked,
    )


def become_lame_duck(program: NginxProgram, run: RunDirectory) -> str | None:
    """Make nginx report not ready and, after a `RELOAD`, close each connection after its response.

    Return why nginx would reject the reload; None if it accepts it. Raises `OSError` or
    `subprocess.SubprocessError`.
    """
    run.lame_duck.touch()
    folder = run.nginx_conf.parent
    shutil.copyfile(folder / "later" / "lame-duck.conf", folder / "snippets" / "lame-duck.conf")
    return complaint(program, run)


def complaint(program: NginxProgram, run: RunDirectory) -> str | None:
    """Run nginx's configuration test, and return its complaint; None if it passes.

    Raises `OSError` or `subprocess.SubprocessError` if nginx cannot be run.
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
    # -e: errors before the configuration is read go to stderr as well.
    return [program.path, "-e", "stderr", "-p", f"{run.path}/", "-c", str(run.nginx_conf)]


def _environment() -> dict[str, str]:
    # Keep secrets out of nginx's environment; TZ is for its log's times.
    kept = {name: os.environ[name] for name in ("TZ", "LANG", "PATH") if name in os.environ}
    return kept | _GIVING_MEMORY_BACK
