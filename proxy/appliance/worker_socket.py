"""A worker's listening socket. The supervisor owns it, so it outlives the worker's process.

A client that connects while the worker restarts waits in the socket's backlog instead of being
refused. nginx finds the socket by its path: when the path is renamed, nginx fails at once and tries
another worker, even if this one is frozen and the kernel would still accept connections for it.
"""

from __future__ import annotations

import contextlib
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

BACKLOG = 16_384
"""Connections that may wait to be accepted; the kernel's own limit may be lower."""


class WorkerSocket:
    """A listening socket, opened when it is first needed."""

    def __init__(self, path: Path, *, mode: int) -> None:
        self._path = path
        self._hidden = path.with_suffix(".away")
        self._mode = mode
        self._socket: socket.socket | None = None
        self.visible = True
        """Whether nginx can find the socket."""

    @property
    def path(self) -> Path:
        """The socket's current path."""
        return self._path if self.visible else self._hidden

    def fileno(self) -> int:
        """Return the descriptor, for a worker to inherit.

        Raises `OSError` if the socket cannot be opened.
        """
        if self._socket is None:
            self._socket = self._opened()
        return self._socket.fileno()

    def show(self, visible: bool) -> None:  # noqa: FBT001 a setter
        """Make the socket visible to nginx, or hide it; connections in the backlog keep waiting."""
        if visible is self.visible or self._socket is None:
            return
        before = self.path
        self.visible = visible
        # The run directory is removed at the end of the run.
        with contextlib.suppress(FileNotFoundError):
            before.rename(self.path)

    def take_waiting(self) -> list[socket.socket]:
        """Accept all connections in the backlog; the caller answers and closes them."""
        taken: list[socket.socket] = []
        if self._socket is not None:
            with contextlib.suppress(OSError):
                while True:
                    taken.append(self._socket.accept()[0])
        return taken

    def close(self) -> None:
        """Close the supervisor's copy; a running worker keeps its own."""
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
