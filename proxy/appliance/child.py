"""A child process: it dies with its parent, has its own group, and its stderr tail is kept."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from proxy.appliance.heartbeat_reader import HeartbeatReader
from proxy.appliance.line_reader import LineReader, to_stderr

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.appliance.worker_socket import WorkerSocket

_PDEATHSIG = str(Path(__file__).with_name("pdeathsig.py"))
# Room for a child's output while the supervisor is busy; the maximum for any user (pipe(7)).
_PIPE_BYTES = 1024 * 1024
_STDERR_TAIL_SECONDS = 1.0
_PROCESSES = "raise the limit of processes (docker run --pids-limit, ulimit -u)"
# The exit status of a program that a signal ended, as shells report it: 128 + N.
_BY_SIGNAL = 128


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How a child is started and restarted."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    umask: int = 0o077
    death_signal: signal.Signals = signal.SIGKILL
    """The signal that the child gets when the supervisor dies."""
    ignores_sigterm: bool = False
    """Whether the child ignores SIGTERM; the supervisor stops it by another signal."""
    out: Callable[[bytes], None] = to_stderr
    """Receives its stdout, in whole lines."""
    err: Callable[[bytes], None] = to_stderr
    """Receives its stderr, in whole lines."""
    listening: WorkerSocket | None = None
    """The socket that the child inherits, with a heartbeat; None if it opens its own."""
    settings: int | None = None
    """The descriptor of the settings that the child inherits."""
    masked: Callable[[bytes], bytes] = bytes
    """Removes secrets from a line that is kept in the stderr tail."""


class Child:
    """A running child, made by `start`."""

    def __init__(
        self,
        spec: ProcessSpec,
        process: asyncio.subprocess.Process,
        pipes: Pipes,
        heartbeat: HeartbeatReader | None = None,
    ) -> None:
        self.name = spec.name
        self._process = process
        self._pipes = pipes
        self.heartbeat = heartbeat
        """A worker's heartbeat; None for other children."""
        self.killed = False
        """Whether the supervisor killed the child."""

    @classmethod
    async def start(cls, spec: ProcessSpec) -> Child:
        """Start the program.

        Raises `OSError` if no process can be created; a program that cannot be run reports so on
        its stderr.
        """
        pipes = Pipes(spec)
        heartbeat: HeartbeatReader | None = None
        inherited: tuple[int, ...] = ()
        try:
            if spec.listening is not None:
                heartbeat = HeartbeatReader()
                inherited = (spec.listening.fileno(), heartbeat.writing)
                if spec.settings is not None:
                    inherited = (*inherited, spec.settings)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # -I -S: without site packages and the working directory; it starts in 15 ms.
                *("-I", "-S", _PDEATHSIG, str(os.getpid())),
                *(str(int(spec.death_signal)), str(int(spec.ignores_sigterm))),
                *spec.command,
                *_descriptor_arguments(inherited),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes.out,
                stderr=pipes.err,
                env=spec.environment,
                umask=spec.umask,
                # Ctrl-C is for the supervisor: nginx would stop at once.
                start_new_session=True,
                pass_fds=inherited,
            )
        except BaseException:
            if heartbeat is not None:
                heartbeat.close()
            raise
        finally:
            pipes.close_writing_ends()
            if heartbeat is not None:
                heartbeat.close_writing_end()
        return cls(spec, process, pipes, heartbeat)

    @property
    def pid(self) -> int:
        """Its process id, which is also its process group's."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the child is running."""
        return self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if the child is running."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait for the child to end, and return its exit status, 128 + N for signal N.

        The rest of its process group is killed: workers of an nginx whose master was killed would
        keep holding the ports.
        """
        status = await self._process.wait()
        self.kill()
        if self.heartbeat is not None:
            self.heartbeat.close()
            self.heartbeat = None
        return status if status >= 0 else _BY_SIGNAL - status

    def stopped(self) -> bool:
        """Whether a signal has stopped the child (SIGSTOP, proc(5)): then it is not just busy."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
            return stat.rpartition(")")[2].split()[0] in {"T", "t"}
        return False

    def kill(self) -> None:
        """Kill the whole process group."""
        self.killed = self.killed or self.running
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stderr_tail(self) -> str:
        """Return the last lines of stderr, after all output has been passed on.

        Call it after the child has ended. If a grandchild still holds the pipes, wait only a
        second.
        """
        return await asyncio.to_thread(self._pipes.stderr_tail)


def _descriptor_arguments(inherited: tuple[int, ...]) -> list[str]:
    if not inherited:
        return []
    names = ("--listen-fd", "--heartbeat-fd", "--settings-fd")
    return [argument for pair in zip(names, map(str, inherited), strict=False) for argument in pair]


class Pipes:
    """The stdout and stderr pipes of a child, each read by a thread."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.out, self._out_lines = _pipe(spec, spec.out)
        self.err, self._err_lines = _pipe(spec, spec.err)

    def close_writing_ends(self) -> None:
        """Close the supervisor's writing ends, so that the pipes end with the child."""
        os.close(self.out)
        os.close(self.err)

    def stderr_tail(self) -> str:
        """Return the last lines of stderr, after all output of both pipes has been passed on."""
        deadline = time.monotonic() + _STDERR_TAIL_SECONDS
        for lines in (self._out_lines, self._err_lines):
            lines.wait(max(0.0, deadline - time.monotonic()))
        return self._err_lines.last()


def _pipe(spec: ProcessSpec, sink: Callable[[bytes], None]) -> tuple[int, LineReader]:
    reading, writing = os.pipe()
    # A lower system limit is acceptable.
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    lines = LineReader(reading, sink, spec.name, spec.masked)
    try:
        lines.start()
    except RuntimeError as error:
        os.close(reading)
        os.close(writing)
        raise OSError(errno.EAGAIN, f"no thread for {spec.name}: {error}; {_PROCESSES}") from None
    return writing, lines
