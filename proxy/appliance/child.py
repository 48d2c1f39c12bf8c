"""One child process: tied to its parent, in a group of its own, its stderr tail kept."""

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

from proxy.appliance.lines import Lines, to_stderr
from proxy.appliance.pulse import Pulse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from proxy.appliance.listening import Listening

_PDEATHSIG = str(Path(__file__).with_name("pdeathsig.py"))
# Room for what a child says while the supervisor is busy; what any user may ask for (pipe(7)).
_PIPE_BYTES = 1024 * 1024
_STDERR_TAIL_SECONDS = 1.0
_PROCESSES = "raise the limit of processes (docker run --pids-limit, ulimit -u)"
# A shell's way to say that a signal ended a program.
_BY_SIGNAL = 128


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How a child is started, as often as it takes."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str] | None = None
    umask: int = 0o077
    death_signal: signal.Signals = signal.SIGKILL
    """What it gets when the supervisor is gone."""
    deaf: bool = False
    """Whether SIGTERM is kept from it: it stops by another signal, of the supervisor alone."""
    out: Callable[[bytes], None] = to_stderr
    """Takes what it writes to stdout, in whole lines."""
    err: Callable[[bytes], None] = to_stderr
    """Takes what it writes to stderr; these are its stderr tail."""
    listening: Listening | None = None
    """The socket that it inherits and has a pulse beside; None if it opens its own."""
    settings: int | None = None
    """The descriptor of the settings that it inherits beside the socket."""
    masked: Callable[[bytes], bytes] = bytes
    """Makes a line fit to be kept as part of the stderr tail."""


class Child:
    """A running child. Make it with `start`."""

    def __init__(
        self,
        spec: ProcessSpec,
        process: asyncio.subprocess.Process,
        pipes: Pipes,
        pulse: Pulse | None = None,
    ) -> None:
        self.name = spec.name
        self._process = process
        self._pipes = pipes
        self.pulse = pulse
        """Of a worker; None if it has none."""
        self.killed = False
        """Whether it was ended from here."""

    @classmethod
    async def start(cls, spec: ProcessSpec) -> Child:
        """Start the program.

        Raises `OSError` when no process can be made; a program that cannot be run says so itself,
        on stderr.
        """
        pipes = Pipes(spec)
        pulse: Pulse | None = None
        inherited: tuple[int, ...] = ()
        try:
            if spec.listening is not None:
                pulse = Pulse()
                inherited = (spec.listening.fileno(), pulse.writing)
                if spec.settings is not None:
                    inherited = (*inherited, spec.settings)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                # Neither the user's site nor anything of the present folder: it starts in 15 ms.
                *("-I", "-S", _PDEATHSIG, str(os.getpid())),
                *(str(int(spec.death_signal)), str(int(spec.deaf))),
                *spec.command,
                *_handed_over(inherited),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=pipes.out,
                stderr=pipes.err,
                env=spec.environment,
                umask=spec.umask,
                # Ctrl-C is for the supervisor: nginx would take it for "stop at once".
                start_new_session=True,
                pass_fds=inherited,
            )
        except BaseException:
            if pulse is not None:
                pulse.close()
            raise
        finally:
            pipes.close_writing_ends()
            if pulse is not None:
                pulse.close_writing_end()
        return cls(spec, process, pipes, pulse)

    @property
    def pid(self) -> int:
        """Its process id, which is also that of its group."""
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    def send(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def wait(self) -> int:
        """Wait until it has ended, and give its exit status, 128 + N for signal N.

        Whatever it left behind in its group is ended too: the processes of an nginx whose master
        was killed would go on holding the ports.
        """
        status = await self._process.wait()
        self.kill()
        if self.pulse is not None:
            self.pulse.close()
            self.pulse = None
        return status if status >= 0 else _BY_SIGNAL - status

    def stopped(self) -> bool:
        """Whether a signal has stopped it (SIGSTOP, proc(5)): then it is not merely busy."""
        with contextlib.suppress(OSError):
            stat = Path(f"/proc/{self.pid}/stat").read_text(encoding="utf-8", errors="replace")
            return stat.rpartition(")")[2].split()[0] in {"T", "t"}
        return False

    def kill(self) -> None:
        """End the whole group at once."""
        self.killed = self.killed or self.running
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)

    async def stderr_tail(self) -> str:
        """The last lines it wrote to stderr, once all its lines have been passed on.

        To be asked once it has ended. A grandchild that still holds its pipes is waited for only a
        moment.
        """
        return await asyncio.to_thread(self._pipes.stderr_tail)


def _handed_over(inherited: tuple[int, ...]) -> list[str]:
    if not inherited:
        return []
    names = ("--listen-fd", "--pulse-fd", "--settings-fd")
    return [word for pair in zip(names, map(str, inherited), strict=False) for word in pair]


class Pipes:
    """The two pipes of a child, each read by a thread."""

    def __init__(self, spec: ProcessSpec) -> None:
        self.out, self._out_lines = _pipe(spec, spec.out)
        self.err, self._err_lines = _pipe(spec, spec.err)

    def close_writing_ends(self) -> None:
        """Leave the writing ends to the child alone, so that its end is theirs."""
        os.close(self.out)
        os.close(self.err)

    def stderr_tail(self) -> str:
        """The last lines of stderr, once all that was written to both pipes has been passed on."""
        deadline = time.monotonic() + _STDERR_TAIL_SECONDS
        for lines in (self._out_lines, self._err_lines):
            lines.wait(max(0.0, deadline - time.monotonic()))
        return self._err_lines.last()


def _pipe(spec: ProcessSpec, sink: Callable[[bytes], None]) -> tuple[int, Lines]:
    reading, writing = os.pipe()
    # A limit of the system's is no reason not to start.
    with contextlib.suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    lines = Lines(reading, sink, spec.name, spec.masked)
    try:
        lines.start()
    except RuntimeError as error:
        os.close(reading)
        os.close(writing)
        raise OSError(errno.EAGAIN, f"no thread for {spec.name}: {error}; {_PROCESSES}") from None
    return writing, lines
