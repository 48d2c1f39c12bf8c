"""A terminal in a container, for what only a terminal does: Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import time
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType

    from tests.docker import Container


class Terminal:
    """A command at a terminal of its own in a container."""

    def __init__(self, container: Container, command: str, *flags: str) -> None:
        self.shown = ""
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            ["docker", "exec", "-it", *flags, container.name, "bash", "-c", f"exec {command}"],
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._master)

    def line_with(self, part: str, seconds: float) -> str:
        """The first whole line with `part` in it; TimeoutError with all that was shown instead."""
        deadline = time.monotonic() + seconds
        while True:
            *whole, _ = self.shown.split("\n")
            for line in whole:
                if part in line:
                    return line.strip()
            if not self._read(deadline - time.monotonic()):
                raise TimeoutError(f"no line with {part!r} in: {self.shown}")

    def press_ctrl_c(self, seconds: float) -> int:
        """Interrupt as a person would, and return the exit status once the command is gone."""
        os.write(self._master, b"\x03")
        deadline = time.monotonic() + seconds
        while self._process.poll() is None:
            if not self._read(deadline - time.monotonic()):
                break
        return self._process.wait(max(0.1, deadline - time.monotonic()))

    def _read(self, seconds: float) -> bool:
        """Take what the terminal shows next; False at its end or when the time is over."""
        ready, _, _ = select.select([self._master], [], [], max(0.0, seconds))
        if not ready:
            return False
        try:
            piece = os.read(self._master, 65536)
        except OSError:  # Linux says EIO once the other end is closed.
            return False
        self.shown += piece.decode(errors="replace")
        return bool(piece)
