"""A worker's listening socket. The supervisor owns it, so it outlives every worker.

Whoever connects while the worker is away waits in the socket's backlog for the next one, and is not
refused. nginx finds the socket by its path: taken away, a connection fails at once and nginx tries
another worker, even where this one is frozen and the kernel would go on taking connections for it.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 16_384
"""Connections that may wait to be accepted; the kernel's own limit may be lower."""


class Listening:
    """One such socket; made when it is first needed."""

    def __init__(self, path: Path, *, mode: int) -> None:
        self._path = path
        self._hidden = path.with_suffix(".away")
        self._mode = mode
        self._socket: socket.socket | None = None
        self.visible = True
        """Whether nginx finds it."""

    @property
    def path(self) -> Path:
        """Where it is found just now."""
        return self._path if self.visible else self._hidden

    def fileno(self) -> int:
        """Its descriptor, for a worker to inherit.

        Raises `OSError` where it cannot be made.
        """
        if self._socket is None:
            self._socket = self._opened()
        return self._socket.fileno()

    def show(self, visible: bool) -> None:  # noqa: FBT001 what is shown is the point
        """Let nginx find it, or take it out of its way; who waits already goes on waiting."""
        if visible is self.visible or self._socket is None:
            return
        before = self.path
        self.visible = visible
        # Where the run directory is gone, everything is about to end.
        with contextlib.suppress(FileNotFoundError):
            before.rename(self.path)

    def take_waiting(self) -> list[socket.socket]:
        """The connections of all who wait; whoever takes them answers and closes them."""
        taken: list[socket.socket] = []
        if self._socket is not None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(self._socket.accept()[0])
        return taken

    def close(self) -> None:
        """Own it no longer: a worker that still has it is the last one to accept from it."""
        if self._socket is not None:
            self._socket.close()

    def _opened(self) -> socket.socket:
        opened = socket.socket(socket.AF_UNIX)
        try:
            opened.bind(str(self._path))
            self._path.chmod(self._mode)
            opened.setblocking(False)
            opened.listen(BACKLOG)
        except BaseException:
            opened.close()
            raise
        return opened
